// Which pool and which upstream a request goes to. Everything that changes without a reload
// is read here, per request, from the shared dictionary "asr"; asr_config is what this
// generation of the configuration was rendered with, asr_routing what was written down for a
// start of nginx. No text of a rule ever enters nginx's configuration.
import requests from 'requests.js';
import rules from 'rules.js';

const KEY = 'routing';
const BEGUN = 'begun';
const STICKY_FORM = /^[0-9a-f]{32}$/;
const STICKY_SECONDS = 31536000;
const COOKIE_NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const SHADOW_PATHS = ['/v1/audio/transcriptions', '/api/predict', '/api/predict/'];
const NEW_BATCH_PATHS = ['/v1/batches', '/v1/batches/'];
const BATCH_PATH = /^\/v1\/batches\/batch_([a-z0-9][a-z0-9._-]{0,62})_[0-9a-f]{32}(?:\/events)?$/;

function current() {
    const value = ngx.shared.asr.get(KEY);
    // What was preloaded is copied: its arrays have no methods, which rules and page call.
    return JSON.parse(value === undefined ? JSON.stringify(asr_routing) : value);
}

// -- where to --------------------------------------------------------------------------------

// An old worker that still serves kept connections after a reload knows only the groups that
// it was started with: what it does not know, it must not pick.
function stableGroup(wanted) {
    return known(wanted) ? wanted : asr_config.stable;
}

function known(group) {
    return asr_config.groups[group] !== undefined;
}

// js_set caches the answer for the life of the request: it is decided once, so that what is
// logged is what was done, even where the routing changes while the request runs.
// "shadowed" is stable, with a copy to the version that is only listened to.
function decide(r) {
    const now = current();
    const stable = stableGroup(now.stable);
    const choice = choose(r, now);
    const v = r.variables;
    v.asr_pool = choice.pool;
    const tried = choice.pool === 'stable' ? '' : choice.group || now[choice.pool];
    v.asr_group = tried || stable;
    v.asr_decided_by = choice.by;
    v.asr_bucket_taken = v.asr_bucket;
    v.asr_stable_upstream = stable === '' ? '' : stable + '.stable';
    v.asr_tried_upstream = tried ? tried + '.tried' : '';
    if (choice.pool !== 'stable') {
        return choice.pool;
    }
    v.asr_shadow = isShadowed(r, now) ? '1' : '';
    return stable === '' ? 'none' : v.asr_shadow ? 'shadowed' : 'stable';
}

// The baseline is there to compare a canary with: without one it gets nothing.
function hasBaseline(now) {
    return Boolean(now.baseline) && known(now.baseline);
}

function hasCanary(now) {
    return Boolean(now.canary) && known(now.canary) && now.canary !== stableGroup(now.stable);
}

// Whether there is something to tell people of and to ask them.
function onTrial(now) {
    return hasCanary(now) && Boolean(now.trial);
}

function choose(r, now) {
    if (isNewBatch(r) && now.batches && known(now.batches)) {
        return {pool: 'backup', group: now.batches, by: 'batches'};
    }
    if (!hasCanary(now)) {
        return {pool: 'stable', by: 'stable'};
    }
    const all = now.rules || [];
    for (let i = 0; i < all.length; i++) {
        if (rules.matches(r, all[i])) {
            return {pool: all[i].pool, by: all[i].kind};
        }
    }
    return {pool: byBucket(Number(r.variables.asr_bucket), now),
            by: now.canary_buckets > 0 ? 'percent' : 'stable'};
}

// The canary has the lowest buckets, the baseline the highest: growing shares move nobody back.
function byBucket(bucket, now) {
    if (bucket < now.canary_buckets) {
        return 'canary';
    }
    const inBaseline = hasBaseline(now) && bucket >= asr_config.buckets - now.baseline_buckets;
    return inBaseline ? 'baseline' : 'stable';
}

// -- shadow ----------------------------------------------------------------------------------

function hasShadow(now) {
    return Boolean(now.shadow) && known(now.shadow) && now.shadow !== stableGroup(now.stable);
}

// Whether a copy of this request is sent. It is drawn by the request's id, so that every user's
// requests are compared, and who reads the nodes' histories knows which have a copy.
function isShadowed(r, now) {
    if (!hasShadow(now) || r.method !== 'POST') {
        return false;
    }
    const v = r.variables;
    const length = r.headersIn['Content-Length'];  // none: how long it will be, nobody knows
    if (!SHADOW_PATHS.includes(v.request_uri.split('?')[0]) || length === undefined
            || Number(length) > asr_config.shadow_max_bytes) {
        return false;
    }
    const draw = parseInt(requests.hmac(now.salt, v.asr_request_id, 'hex').slice(0, 8), 16);
    return draw * 100 < now.shadow_percent * 4294967296;
}

// Where a copy goes, by the routing of the moment in which it is handed on.
function shadowUpstream(r) {
    const now = current();
    const path = r.variables.request_uri.slice('/shadow'.length);
    return hasShadow(now) ? now.shadow + '.shadow' + path : '';
}

function shadowTaken(r) {
    r.return(202);
}

// -- sticky key ------------------------------------------------------------------------------

// The text that split_clients hashes. The prefixes keep keys of different kinds apart.
function stickyKey(r) {
    const now = current();
    const key = ownKey(r, now.sticky);
    r.variables.asr_key_hash = requests.hmac(asr_secrets.log_salt, key, 'hex').slice(0, 16);
    return now.salt + '|' + key;
}

function ownKey(r, sticky) {
    if (sticky === 'address') {
        return 'a:' + r.remoteAddress;
    }
    if (sticky === 'off') {
        return 'r:' + r.variables.request_id;  // ours: a client must not choose its bucket
    }
    const api = apiKey(r);
    return api ? 'k:' + api : 'c:' + ownCookie(r);
}

function apiKey(r) {
    return requests.bearer(r) || r.headersIn['X-API-Key'] || r.headersIn['api-key'];
}

function ownCookie(r) {
    const name = asr_config.cookie;
    const held = requests.cookie(r, name);
    if (held !== undefined && STICKY_FORM.test(held)) {
        return held;
    }
    // 128 random bits, hashed: the log shows the request id and must not show the cookie.
    const fresh = requests.hmac(asr_secrets.log_salt, r.variables.request_id, 'hex').slice(0, 32);
    const secure = requests.isSecure(r) ? '; Secure' : '';
    r.variables.asr_set_cookie =
        `${name}=${fresh}; Path=/; Max-Age=${STICKY_SECONDS}; HttpOnly; SameSite=Lax${secure}`;
    return fresh;
}

// -- batches ---------------------------------------------------------------------------------

// The address of the node that has this batch; where this generation knows no such node, that of
// the controller, who knows all and what was kept of those that are gone; "" for every other path.
// The path is judged as it came, which is how it is passed on.
function batchAddress(r) {
    const found = BATCH_PATH.exec(r.variables.request_uri.split('?')[0]);
    if (found === null) {
        return '';
    }
    return Object.keys(asr_config.nodes).includes(found[1]) ? asr_config.nodes[found[1]] : 'spool';
}

// Handed in here and worked off by the node, however long that takes: it may have a pool of its own.
function isNewBatch(r) {
    return r.method === 'POST' && NEW_BATCH_PATHS.includes(r.variables.request_uri.split('?')[0]);
}

// -- answers ---------------------------------------------------------------------------------

function health(r) {
    const now = current();
    const stable = stableGroup(now.stable);
    const canary = now.canary && known(now.canary) ? now.canary : null;
    const pools = {stable: pool(stable), canary: pool(canary), backup: pool('backup')};
    if (hasBaseline(now)) {
        pools.baseline = pool(now.baseline);
    }
    const nodes = pools.stable.nodes + pools.backup.nodes;
    const ok = nodes > 0 && now.known_healthy !== false;
    answer(r, ok ? 200 : 503, {
        status: ok ? 'ok' : nodes > 0 ? 'no node is known to be healthy' : 'no nodes', generation: asr_config.generation, pools: pools,
    });
}

function pool(group) {
    return {group: group || null, nodes: asr_config.groups[group] || 0};
}

function control(r) {
    if (r.method === 'GET') {
        const held = ngx.shared.asr.get(KEY);
        answer(r, 200, {
            generation: asr_config.generation,
            groups: Object.keys(asr_config.groups),
            source: held === undefined ? 'file' : 'dictionary',
            begun: begun(),
            routing: current(),
        });
        return;
    }
    if (r.method !== 'PUT') {
        answer(r, 405, {error: 'GET or PUT'});
        return;
    }
    const text = r.requestText || '';
    const problem = wrong(text);
    if (problem !== null) {
        answer(r, 422, {error: problem});
        return;
    }
    ngx.shared.asr.set(KEY, text);
    answer(r, 200, {generation: asr_config.generation});
}

// When this nginx was first asked: another one, whoever started it, has another dictionary.
function begun() {
    ngx.shared.asr.add(BEGUN, String(Date.now()));
    return ngx.shared.asr.get(BEGUN);
}

// Whatever is in the dictionary is read by every request: nothing half right may get in.
function wrong(text) {
    let value;
    try {
        value = JSON.parse(text);
    } catch (e) {
        return 'not JSON';
    }
    if (value === null || typeof value !== 'object' || typeof value.stable !== 'string') {
        return 'stable must be a string';
    }
    if (value.canary !== null && typeof value.canary !== 'string') {
        return 'canary must be a string or null';
    }
    if (typeof value.canary_buckets !== 'number' || typeof value.salt !== 'string') {
        return 'canary_buckets must be a number, salt a string';
    }
    if (value.baseline && (typeof value.baseline !== 'string'
                           || typeof value.baseline_buckets !== 'number')) {
        return 'baseline must be a string, baseline_buckets a number';
    }
    if (!Array.isArray(value.rules) || !['key', 'address', 'off'].includes(value.sticky)) {
        return 'rules must be a list, sticky one of key, address, off';
    }
    if (value.shadow && (typeof value.shadow !== 'string'
                         || typeof value.shadow_percent !== 'number')) {
        return 'shadow must be a string, shadow_percent a number';
    }
    if (value.batches && typeof value.batches !== 'string') {
        return 'batches must be a string or null';
    }
    return value.trial === null || value.trial === undefined ? null : wrongTrial(value);
}

function wrongTrial(value) {
    const trial = value.trial;
    if (typeof trial.cookie !== 'string' || !COOKIE_NAME.test(trial.cookie)) {
        return 'trial.cookie must be the name of a cookie';
    }
    if (trial.consent_required && value.canary_buckets !== 0) {
        return 'where consent is required, nobody is sent to the canary at random';
    }
    return null;
}

function answer(r, status, value) {
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Cache-Control'] = 'no-store';
    r.return(status, JSON.stringify(value) + '\n');
}

export default {
    decide, stickyKey, batchAddress, shadowUpstream, shadowTaken, health, control, current, onTrial, choose,
};

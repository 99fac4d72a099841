// Which pool and which upstream a request goes to. Everything that changes without a reload
// is read here, per request, from the shared dictionary "asr"; asr_config is what this
// generation of the configuration was rendered with, asr_routing what was written down for a
// start of nginx. No text of a rule ever enters nginx's configuration.
import crypto from 'crypto';

const KEY = 'routing';
const STICKY_FORM = /^[0-9a-f]{32}$/;
const STICKY_SECONDS = 31536000;
const BATCH_PATH = /^\/v1\/batches\/batch_([a-z0-9][a-z0-9._-]{0,62})_[0-9a-f]{32}(?:\/events)?$/;

function routing() {
    const value = ngx.shared.asr.get(KEY);
    return value === undefined ? asr_routing : JSON.parse(value);
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
function decide(r) {
    const now = routing();
    const stable = stableGroup(now.stable);
    const choice = choose(r, now, stable);
    const v = r.variables;
    v.asr_pool = choice.pool;
    v.asr_group = choice.pool === 'canary' ? now.canary : stable;
    v.asr_decided_by = choice.by;
    v.asr_bucket_taken = v.asr_bucket;
    v.asr_stable_upstream = stable === '' ? '' : stable + '.stable';
    v.asr_canary_upstream = choice.pool === 'canary' ? now.canary + '.canary' : '';
    return stable === '' && choice.pool === 'stable' ? 'none' : choice.pool;
}

function choose(r, now, stable) {
    if (!now.canary || !known(now.canary) || now.canary === stable) {
        return {pool: 'stable', by: 'stable'};
    }
    const rules = now.rules || [];
    for (let i = 0; i < rules.length; i++) {
        if (matches(r, rules[i])) {
            return {pool: rules[i].pool, by: rules[i].kind};
        }
    }
    // The canary has the lowest buckets: a growing share moves nobody back.
    const inside = Number(r.variables.asr_bucket) < now.canary_buckets;
    return {pool: inside ? 'canary' : 'stable', by: now.canary_buckets > 0 ? 'percent' : 'stable'};
}

// -- sticky key ------------------------------------------------------------------------------

// The text that split_clients hashes. The prefixes keep keys of different kinds apart.
function stickyKey(r) {
    const now = routing();
    const key = ownKey(r, now.sticky);
    r.variables.asr_key_hash = hmac(asr_secrets.log_salt, key, 'hex').slice(0, 16);
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
    return bearer(r) || r.headersIn['X-API-Key'] || r.headersIn['api-key'];
}

function bearer(r) {
    const found = /^Bearer +(\S+) *$/i.exec(r.headersIn['Authorization'] || '');
    return found ? found[1] : '';
}

function ownCookie(r) {
    const name = asr_config.cookie;
    const held = cookie(r, name);
    if (held !== undefined && STICKY_FORM.test(held)) {
        return held;
    }
    // 128 random bits, hashed: the log shows the request id and must not show the cookie.
    const fresh = hmac(asr_secrets.log_salt, r.variables.request_id, 'hex').slice(0, 32);
    r.variables.asr_set_cookie =
        `${name}=${fresh}; Path=/; Max-Age=${STICKY_SECONDS}; HttpOnly; SameSite=Lax`;
    return fresh;
}

function cookie(r, name) {
    const pairs = (r.headersIn['Cookie'] || '').split(';');
    for (let i = 0; i < pairs.length; i++) {
        const at = pairs[i].indexOf('=');
        if (at > 0 && pairs[i].slice(0, at).trim() === name) {
            return pairs[i].slice(at + 1).trim();
        }
    }
    return undefined;
}

// -- batches ---------------------------------------------------------------------------------

// The address of the node that has this batch; "" for every other path, and where this
// generation knows no such node. The path is judged as it came, which is how it is passed on.
function batchAddress(r) {
    const found = BATCH_PATH.exec(r.variables.request_uri.split('?')[0]);
    if (found === null || !Object.keys(asr_config.nodes).includes(found[1])) {
        return '';
    }
    return asr_config.nodes[found[1]];
}

// -- rules -----------------------------------------------------------------------------------

function matches(r, rule) {
    switch (rule.kind) {
    case 'cookie':
        return cookie(r, rule.name) === rule.value;
    case 'header':
        return r.headersIn[rule.name] === rule.value;
    case 'address':
        return within(r.remoteAddress, rule.cidr);
    case 'time':
        return isTime(rule, Date.now());
    case 'role':
        return hasRole(r, rule);
    default:
        return false;  // a rule of a newer controller: the others still hold
    }
}

function within(address, cidr) {
    const at = cidr.indexOf('/');
    const base = bytes(at < 0 ? cidr : cidr.slice(0, at));
    const own = bytes(address);
    if (base === null || own === null || base.length !== own.length) {
        return false;
    }
    let bits = at < 0 ? base.length * 8 : Number(cidr.slice(at + 1));
    if (!(bits >= 0 && bits <= base.length * 8)) {
        return false;
    }
    for (let i = 0; i < base.length && bits > 0; i++, bits -= 8) {
        const mask = bits >= 8 ? 0xff : (0xff << (8 - bits)) & 0xff;
        if ((base[i] & mask) !== (own[i] & mask)) {
            return false;
        }
    }
    return true;
}

// The 4 or 16 bytes of an address; null for a Unix socket. ::ffff:a.b.c.d counts as IPv4.
function bytes(text) {
    if (text.indexOf(':') < 0) {
        return v4(text);
    }
    const all = v6(text);
    if (all !== null && all.slice(0, 10).every((b) => b === 0) && all[10] === 255 && all[11] === 255) {
        return all.slice(12);
    }
    return all;
}

function v4(text) {
    const parts = text.split('.');
    return parts.length === 4 ? parts.map(Number) : null;
}

function v6(text) {
    const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
    if (dotted) {
        const b = v4(dotted[2]);
        text = dotted[1] + ((b[0] << 8) | b[1]).toString(16) + ':' + ((b[2] << 8) | b[3]).toString(16);
    }
    const halves = text.split('%')[0].split('::');
    const head = groups(halves[0]);
    const tail = halves.length > 1 ? groups(halves[1]) : [];
    const gap = 8 - head.length - tail.length;
    if (halves.length > 2 || gap < 0 || (halves.length === 1 && gap !== 0)) {
        return null;
    }
    const all = [];
    head.concat(new Array(gap).fill(0), tail).forEach((g) => all.push(g >> 8, g & 0xff));
    return all;
}

function groups(text) {
    return text === '' ? [] : text.split(':').map((g) => parseInt(g, 16));
}

// The days of a window that wraps past midnight are those of its start.
function isTime(rule, milliseconds) {
    const offset = minutes(rule.timezone.slice(1)) * (rule.timezone[0] === '-' ? -1 : 1);
    const local = new Date(milliseconds + offset * 60000);
    const minute = local.getUTCHours() * 60 + local.getUTCMinutes();
    const day = local.getUTCDay() || 7;
    const start = minutes(rule.start);
    const end = minutes(rule.end);
    if (start < end) {
        return minute >= start && minute < end && rule.days.includes(day);
    }
    return minute >= start ? rule.days.includes(day)
                           : minute < end && rule.days.includes(day === 1 ? 7 : day - 1);
}

function minutes(clock) {
    return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5));
}

// -- roles -----------------------------------------------------------------------------------

function hasRole(r, rule) {
    const claims = verified(bearer(r), Date.now() / 1000);
    const value = claims === null ? undefined : claims[rule.claim];
    return Array.isArray(value) ? value.includes(rule.role) : value === rule.role;
}

// The claims of a JWT (RFC 7519) signed with our key by HS256; null for every other token. The
// algorithm is ours, never the token's: "none" and a public key used as a secret cannot pass.
function verified(token, now) {
    const parts = token.split('.');
    if (parts.length !== 3 || !asr_secrets.jwt_key) {
        return null;
    }
    const header = decode(parts[0]);
    const key = Buffer.from(asr_secrets.jwt_key, 'base64');
    const ours = hmac(key, parts[0] + '.' + parts[1], 'base64url');
    if (header === null || header.alg !== 'HS256' || header.crit !== undefined || !same(ours, parts[2])) {
        return null;
    }
    const claims = decode(parts[1]);
    const valid = claims !== null && inTime(claims.exp, now, -1) && inTime(claims.nbf, now, 1);
    return valid ? claims : null;
}

function inTime(limit, now, sign) {
    return limit === undefined || (typeof limit === 'number' && sign * (now - limit) >= 0);
}

function decode(part) {
    try {
        const value = JSON.parse(Buffer.from(part, 'base64url').toString());
        return typeof value === 'object' && !Array.isArray(value) ? value : null;
    } catch (e) {
        return null;
    }
}

function hmac(key, text, encoding) {
    return crypto.createHmac('sha256', key).update(text).digest(encoding);
}

function same(a, b) {  // in a time that does not tell where they differ
    let difference = a.length ^ b.length;
    for (let i = 0; i < a.length; i++) {
        difference |= a.charCodeAt(i) ^ b.charCodeAt(i % (b.length || 1));
    }
    return difference === 0;
}

// -- answers ---------------------------------------------------------------------------------

function health(r) {
    const now = routing();
    const stable = stableGroup(now.stable);
    const canary = now.canary && known(now.canary) ? now.canary : null;
    const pools = {stable: pool(stable), canary: pool(canary), backup: pool('backup')};
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
            routing: routing(),
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
    if (!Array.isArray(value.rules) || !['key', 'address', 'off'].includes(value.sticky)) {
        return 'rules must be a list, sticky one of key, address, off';
    }
    return null;
}

function answer(r, status, value) {
    r.headersOut['Content-Type'] = 'application/json';
    r.headersOut['Cache-Control'] = 'no-store';
    r.return(status, JSON.stringify(value) + '\n');
}

export default {decide, stickyKey, batchAddress, health, control};

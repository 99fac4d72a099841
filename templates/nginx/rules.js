// Who goes where by a rule that people wrote: cookie, header, address range, time, role.
import addresses from 'addresses.js';
import requests from 'requests.js';

function matches(r, rule) {
    switch (rule.kind) {
    case 'cookie':
        return requests.cookie(r, rule.name) === rule.value;
    case 'header':
        return r.headersIn[rule.name] === rule.value;
    case 'address':
        return addresses.within(r.remoteAddress, rule.cidr);
    case 'time':
        return isTime(rule, Date.now());
    case 'role':
        return hasRole(r, rule);
    default:
        return false;  // a rule of a newer controller: the others still hold
    }
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
    const claims = verified(requests.bearer(r), Date.now() / 1000);
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
    const ours = requests.hmac(key, parts[0] + '.' + parts[1], 'base64url');
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

function same(a, b) {  // in a time that does not tell where they differ
    let difference = a.length ^ b.length;
    for (let i = 0; i < a.length; i++) {
        difference |= a.charCodeAt(i) ^ b.charCodeAt(i % (b.length || 1));
    }
    return difference === 0;
}

export default {matches};

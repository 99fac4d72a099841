// What is read of a request in more than one place.
import crypto from 'crypto';
import addresses from 'addresses.js';

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

function bearer(r) {
    const found = /^Bearer +(\S+) *$/i.exec(r.headersIn['Authorization'] || '');
    return found ? found[1] : '';
}

// Whether the client speaks TLS, to us or to a proxy that is trusted to say so.
function isSecure(r) {
    if (r.variables.scheme === 'https') {
        return true;
    }
    const proxies = asr_config.trusted_proxies;
    for (let i = 0; i < proxies.length; i++) {  // a preloaded array has no methods
        if (addresses.within(r.variables.realip_remote_addr, proxies[i])) {
            return /(^|, *)https$/i.test(r.headersIn['X-Forwarded-Proto'] || '');
        }
    }
    return false;
}

function hmac(key, text, encoding) {
    return crypto.createHmac('sha256', key).update(text).digest(encoding);
}

export default {cookie, bearer, isSecure, hmac};

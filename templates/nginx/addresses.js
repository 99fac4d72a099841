// Address ranges, IPv4 and IPv6.

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

export default {within};

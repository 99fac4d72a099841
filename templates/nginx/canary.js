// The page /canary: tells people of the trial of a new version, and keeps their choice in the
// cookie that the routing's first rules read. Nothing that a client sends is ever shown.
import querystring from 'querystring';
import page from 'canary_page.js';
import requests from 'requests.js';
import routing from 'routing.js';

const CHOICE_DAYS = 30;  // longer than a rollout; the cookie of the next has another name
const COOKIE_VALUES = {join: '1', leave: '0', forget: ''};

function canary(r) {
    switch (r.method) {
    case 'GET':
    case 'HEAD':
        show(r, 200, 'none');
        return;
    case 'POST':
        choose(r);
        return;
    default:
        r.headersOut['Allow'] = 'GET, HEAD, POST';
        show(r, 405, 'method');
    }
}

function choose(r) {
    const form = querystring.parse(r.requestText || '');
    const value = Object.keys(COOKIE_VALUES).includes(form.trial) ? COOKIE_VALUES[form.trial] : null;
    const now = routing.current();
    if (!isOwn(r)) {
        show(r, 403, 'foreign');
    } else if (!routing.onTrial(now)) {
        show(r, 409, 'over');
    } else if (form.version !== undefined && form.version !== now.canary) {
        show(r, 409, 'another');  // what was agreed to was the trial of another version
    } else if (value === null) {
        show(r, 400, 'choice');
    } else {
        const seconds = value === '' ? 0 : CHOICE_DAYS * 86400;
        const secure = requests.isSecure(r) ? '; Secure' : '';
        r.headersOut['Set-Cookie'] = [`${now.trial.cookie}=${value}; Path=/; Max-Age=${seconds}; `
                                      + `HttpOnly; SameSite=Lax${secure}`];
        r.headersOut['Cache-Control'] = 'no-store';
        // Relative, so that it also holds below a prefix that a proxy puts before us.
        r.return(303, asked(r) === '' ? 'canary' : 'canary?lang=' + asked(r));
    }
}

// Whether a form of another site is kept out. Browsers say Sec-Fetch-Site over TLS and Origin
// with every form; who says neither is a program, which no other site can steer.
function isOwn(r) {
    const site = r.headersIn['Sec-Fetch-Site'];
    if (site) {
        return site === 'same-origin' || site === 'none';
    }
    const origin = r.headersIn['Origin'];
    const host = (r.headersIn['Host'] || '').toLowerCase();
    return !origin || origin.toLowerCase().replace(/^https?:\/\//, '') === host;
}

function show(r, status, problem) {
    const now = routing.current();
    const view = {language: language(r), problem: problem, trial: null, days: CHOICE_DAYS};
    if (routing.onTrial(now)) {
        view.trial = {
            version: now.canary,
            cookie: now.trial.cookie,
            percent: now.canary_buckets / 10,
            named: now.rules.some((rule) => rule.pool === 'canary' && rule.name !== now.trial.cookie),
            standing: standing(r, now),
        };
    }
    const out = r.headersOut;
    out['Content-Type'] = 'text/html; charset=utf-8';
    out['Content-Language'] = view.language;
    out['Cache-Control'] = 'no-store';
    out['Content-Security-Policy'] = page.POLICY;
    out['X-Content-Type-Options'] = 'nosniff';
    out['Referrer-Policy'] = 'same-origin';  // with no-referrer, forms would have no Origin
    r.return(status, page.html(view));
}

// What the trial is to this client, and why.
function standing(r, now) {
    const held = requests.cookie(r, now.trial.cookie);
    if (held === '1' || held === '0') {
        return held === '1' ? 'joined' : 'left';
    }
    const choice = routing.choose(r, now);
    if (choice.by !== 'percent' && choice.by !== 'stable') {
        return choice.pool === 'canary' ? 'named' : 'spared';
    }
    if (now.canary_buckets === 0) {
        return 'unasked';
    }
    if (now.sticky === 'off') {
        return 'lottery';
    }
    return choice.pool === 'canary' ? 'drawn' : 'undrawn';
}

// The language that was asked for by name; "" where none was.
function asked(r) {
    return r.args.lang === 'zh' || r.args.lang === 'en' ? r.args.lang : '';
}

function language(r) {
    if (asked(r) !== '') {
        return asked(r);
    }
    let best = 'en';
    let weight = 0;
    (r.headersIn['Accept-Language'] || '').split(',').forEach((range) => {
        const found = /^ *(zh|en)(?:-[\w-]+)? *(?:; *q=([01](?:\.\d*)?))? *$/i.exec(range);
        const q = found === null ? 0 : Number(found[2] || '1');
        if (q > weight) {
            best = found[1].toLowerCase();
            weight = q;
        }
    });
    return best;
}

export default {canary};

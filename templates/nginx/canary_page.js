// The page /canary as HTML, in English and Chinese. No script, and nothing from elsewhere.
import crypto from 'crypto';

const STYLE = `
:root { color-scheme: light dark; --bg: #fff; --sunk: #f2f5f6; --ink: #12181b; --ink-2: #4c585f;
  --line: #dbe2e5; --edge: #6d7a81; --canary: #7d5500; --focus: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --bg: #101517; --sunk: #181e21; --ink: #e4eaec;
  --ink-2: #a3b0b6; --line: #293236; --edge: #88969d; --canary: #e9b233; --focus: #8ab4ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/26px Inter, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei",
  "Noto Sans CJK SC", system-ui, sans-serif; }
header { display: flex; justify-content: flex-end; padding: 8px 16px; }
header a { display: inline-block; padding: 9px 12px; color: inherit; }
main { max-width: 40em; margin: auto; padding: 0 16px 48px; }
h1 { font-size: 26px; line-height: 36px; font-weight: 600; margin: 8px 0 16px; }
h2 { font-size: 16px; margin: 32px 0 8px; padding-top: 24px; border-top: 1px solid var(--line); }
p { margin: 8px 0; }
small { font-size: 14px; line-height: 22px; color: var(--ink-2); }
.version { color: var(--canary); font-weight: 600; }
.note { background: var(--sunk); border-left: 4px solid var(--ink); padding: 8px 16px; }
form { display: flex; flex-wrap: wrap; gap: 12px; margin: 24px 0; }
button { font: inherit; font-weight: 600; padding: 9px 20px; min-height: 44px;
  color: var(--ink); background: var(--bg); border: 1px solid var(--edge); border-radius: 6px;
  cursor: pointer; }
button.first { color: var(--bg); background: var(--ink); border-color: var(--ink); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
@media (max-width: 480px) { h1 { font-size: 22px; line-height: 31px; } button { width: 100%; } }
`;

// The page may show this style and send its form to us: all else is forbidden.
const POLICY = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    + `style-src 'sha256-${crypto.createHash('sha256').update(STYLE).digest('base64')}'`;

const EN = {
    tag: 'en',
    other: {code: 'zh', tag: 'zh-CN', name: '中文'},
    title: 'Trial of a new version',
    quiet: 'No trial is running',
    quietly: 'Everyone gets the same version of the speech recognition now. There is nothing to '
        + 'choose.',
    running: (version) => `A new version of the speech recognition, ${version}, is on trial`,
    standing: {
        joined: 'This browser takes part, because you chose so.',
        left: 'This browser does not take part, because you chose so.',
        named: 'This browser takes part: the operators of this service named it by a rule.',
        spared: 'This browser does not take part: the operators of this service left it out by a rule.',
        drawn: 'This browser takes part: it was drawn at random.',
        undrawn: 'This browser does not take part now. When the share grows it may be drawn.',
        lottery: 'Chance decides for each request of this browser anew.',
        unasked: 'This browser does not take part.',
    },
    join: 'Take part',
    leave: 'Do not take part',
    forget: 'Forget my choice',
    meaning: 'What it means',
    effect: 'The new version is compared with the one in use. It may get some words right that the '
        + 'other gets wrong, get others wrong, or be slower. If it cannot answer, the version in use '
        + 'answers instead.',
    who: (percent) => percent === 0 ? 'Only those who choose to take part get it.'
        : percent === 100 ? 'All users get it now, except those who choose not to take part.'
        : `About ${percent} % of the users get it, drawn at random. The share grows while all goes `
        + 'well. Who has chosen here is not drawn.',
    rules: 'The operators of this service have also named some requests by rules.',
    leaving: 'You can leave at any time on this page. The next request then goes to the version in '
        + 'use.',
    kept: (cookie, days) => `Your choice holds for this browser and this trial. It is kept in the `
        + `cookie ${cookie} for ${days} days.`,
    problem: {
        method: 'Nothing was changed: this page is read with GET and answered with POST.',
        foreign: 'Nothing was changed: the form came from another site.',
        over: 'Nothing was changed: there is no trial to join or leave now.',
        another: 'Nothing was changed: meanwhile the trial of another version has begun. Please '
            + 'read and choose again.',
        choice: 'Nothing was changed: the choice must be trial=join, trial=leave or trial=forget.',
    },
};

const ZH = {
    tag: 'zh-CN',
    other: {code: 'en', tag: 'en', name: 'English'},
    title: '新版本试用',
    quiet: '目前没有试用',
    quietly: '现在所有人用的都是同一个语音识别版本，不需要选择。',
    running: (version) => `语音识别的新版本 ${version} 正在试用`,
    standing: {
        joined: '这个浏览器正在参加试用，这是您的选择。',
        left: '这个浏览器不参加试用，这是您的选择。',
        named: '这个浏览器正在参加试用：由本服务的运维人员按规则指定。',
        spared: '这个浏览器不参加试用：由本服务的运维人员按规则排除。',
        drawn: '这个浏览器正在参加试用：是随机抽中的。',
        undrawn: '这个浏览器现在没有参加试用。比例提高后可能会被抽中。',
        lottery: '这个浏览器的每个请求都重新随机决定。',
        unasked: '这个浏览器没有参加试用。',
    },
    join: '参加试用',
    leave: '不参加',
    forget: '清除我的选择',
    meaning: '这意味着什么',
    effect: '新版本正在与现用版本比较。有些地方它可能识别得更准，有些地方可能更差，也可能更慢。'
        + '它没能回答时，由现用版本代为回答。',
    who: (percent) => percent === 0 ? '只有自己选择参加的人才会用到它。'
        : percent === 100 ? '现在所有用户都在用它，选择不参加的除外。'
        : `大约 ${percent} % 的用户会被随机抽中使用它。一切顺利的话，比例会逐步提高。`
        + '在这里选择过的人不再抽签。',
    rules: '本服务的运维人员还按规则指定了一部分请求。',
    leaving: '您随时可以在这个页面退出，下一个请求就会回到现用版本。',
    kept: (cookie, days) => `您的选择只对这个浏览器和本次试用有效，保存在 cookie ${cookie} 中，保留 ${days} 天。`,
    problem: {
        method: '没有任何更改：本页用 GET 查看，用 POST 提交选择。',
        foreign: '没有任何更改：表单来自其他网站。',
        over: '没有任何更改：现在没有可以参加或退出的试用。',
        another: '没有任何更改：在此期间开始了另一个版本的试用，请重新阅读后再选择。',
        choice: '没有任何更改：选择必须是 trial=join、trial=leave 或 trial=forget。',
    },
};

function html(view) {
    const words = view.language === 'zh' ? ZH : EN;
    const note = view.problem === 'none' ? ''
        : `<p class="note" role="alert">${words.problem[view.problem]}</p>`;
    const body = view.trial === null ? quiet(words, note) : running(words, view, note);
    return `<!doctype html>
<html lang="${words.tag}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${words.title}</title>
<style>${STYLE}</style>
</head>
<body>
<header><a href="?lang=${words.other.code}" lang="${words.other.tag}" hreflang="${words.other.tag}">${words.other.name}</a></header>
<main>
${body}
</main>
</body>
</html>
`;
}

function quiet(words, note) {
    return `<h1>${words.quiet}</h1>\n${note}<p>${words.quietly}</p>`;
}

function running(words, view, note) {
    const trial = view.trial;
    const version = escaped(trial.version);
    return `<h1>${words.running(`<span class="version">◆ ${version}</span>`)}</h1>
${note}<p><strong>${words.standing[trial.standing]}</strong></p>
<form method="post" action="canary?lang=${view.language}">
<input type="hidden" name="version" value="${version}">
${choices(words, trial.standing)}
</form>
<h2>${words.meaning}</h2>
<p>${words.effect}</p>
<p>${words.who(trial.percent)}${trial.named ? ' ' + words.rules : ''}</p>
<p>${words.leaving}</p>
<p><small>${words.kept(escaped(trial.cookie), view.days)}</small></p>`;
}

// The buttons that would change something, the likeliest first.
function choices(words, standing) {
    const offered = standing === 'joined' ? ['leave', 'forget']
        : standing === 'left' ? ['join', 'forget']
        : standing === 'unasked' ? ['join']
        : standing === 'drawn' || standing === 'named' ? ['leave'] : ['join', 'leave'];
    return offered.map((name, at) => `<button name="trial" value="${name}"`
        + `${at === 0 ? ' class="first"' : ''}>${words[name]}</button>`).join('\n');
}

function escaped(text) {
    return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export default {POLICY, html};

"""The words of notices, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controller.core.notification import Language

Words = tuple[str, str]  # title, what to do next

REASON: Final[Mapping[Language, str]] = {"en": "Why: ", "zh": "原因："}
PHASE_WORDS: Final[Mapping[Language, Mapping[str, Words]]] = {
    "en": {
        "preparing": (
            "Rollout of {version} started (plan {plan}, {steps} steps)",
            "Next: it serves {first} as soon as its nodes are ready. "
            "`rollout abort` ends it, `rollout status` shows it.",
        ),
        "holding": (
            "{version} serves {share} (step {step} of {steps})",
            "Next: its gates are measured. Nothing to do; `rollback` ends it at once.",
        ),
        "waiting": (
            "{version} waits for you, serving {share} (step {step} of {steps})",
            "Do: `rollout promote` goes on, `rollout abort` goes back, `rollout report {id}` "
            "shows the numbers.",
        ),
        "paused": (
            "Rollout of {version} is paused, serving {share}",
            "Do: `rollout resume` goes on, `rollout abort` goes back.",
        ),
        "resumed": (
            "Rollout of {version} goes on, serving {share} (step {step} of {steps})",
            "Nothing to do.",
        ),
        "promoted": (
            "{version} is promoted: it serves all traffic",
            "Nothing to do. `rollback` goes back to {from_version}; `rollout report {id}` says why "
            "it was promoted.",
        ),
        "rolled_back": (
            "{version} was rolled back: {from_version} serves all traffic",
            "Nothing urgent: traffic is safe. `rollout report {id}` shows the numbers.",
        ),
        "aborted": (
            "Rollout of {version} was aborted: {from_version} serves all traffic",
            "Nothing to do. `rollout report {id}` shows how far it came.",
        ),
    },
    "zh": {
        "preparing": (
            "{version} 开始发布（计划 {plan}，共 {steps} 步）",
            "接下来：节点就绪后接{first}。`rollout abort` 结束，`rollout status` 看进展。",
        ),
        "holding": (
            "{version} 已接{share}（第 {step} 步，共 {steps} 步）",
            "接下来：测门禁。不用做什么；`rollback` 立即退回。",
        ),
        "waiting": (
            "{version} 等人决定，已接{share}（第 {step} 步，共 {steps} 步）",
            "请决定：`rollout promote` 继续，`rollout abort` 退回，`rollout report {id}` 看数据。",
        ),
        "paused": (
            "{version} 的发布已暂停，已接{share}",
            "请决定：`rollout resume` 继续，`rollout abort` 退回。",
        ),
        "resumed": (
            "{version} 的发布继续，已接{share}（第 {step} 步，共 {steps} 步）",
            "不用做什么。",
        ),
        "promoted": (
            "{version} 已转正，承接全部流量",
            "不用做什么。`rollback` 退回 {from_version}；`rollout report {id}` 说明为什么转正。",
        ),
        "rolled_back": (
            "{version} 已回滚，{from_version} 承接全部流量",
            "不急：流量已安全。`rollout report {id}` 看数据。",
        ),
        "aborted": (
            "{version} 的发布已中止，{from_version} 承接全部流量",
            "不用做什么。`rollout report {id}` 看走到了哪里。",
        ),
    },
}

OUTCOMES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"pass": "pass", "fail": "FAIL", "inconclusive": "undecided"},
    "zh": {"pass": "通过", "fail": "没过", "inconclusive": "说不准"},
}

VERDICT_WORDS: Final[Mapping[Language, Words]] = {
    "en": (
        "Gates of {version}: {pass} passed, {fail} failed, {inconclusive} undecided",
        "`rollout report {id}` has all numbers.",
    ),
    "zh": (
        "{version} 的门禁：{pass} 项通过，{fail} 项没过，{inconclusive} 项说不准",
        "全部数据见 `rollout report {id}`。",
    ),
}

GATE_LINES: Final = {"en": "{gate}: {said}. {numbers}", "zh": "{gate}：{said}。{numbers}"}

FLEET_WORDS: Final[Mapping[Language, Mapping[str, Words]]] = {
    "en": {
        "fleet.alarm": ("Alarm: {message}", "Do: `rollout status` shows which nodes; look at it."),
        "fleet.recovered": ("Recovered: {message}", "Nothing to do."),
        "failover.begun": (
            "Help: {message}",
            "Do: `rollout status` shows stable's nodes and load.",
        ),
        "failover.ended": ("Help ended: {message}", "Nothing to do."),
        "backup.problem": ("Backup: {message}", "Do: mend it before it is needed."),
        "backup.mended": ("Backup: {message}", "Nothing to do."),
        "node.failed": (
            "Node {subject} ends again and again",
            "Do: `rollout status` shows its last log lines; it is tried again now and then.",
        ),
        "node.recovered": ("Node {subject} is well again", "Nothing to do."),
    },
    "zh": {
        "fleet.alarm": ("告警：{message}", "请查看：`rollout status` 列出是哪些节点。"),
        "fleet.recovered": ("已恢复：各个池都正常", "不用做什么。"),
        "failover.begun": (
            "备用池来帮忙：{message}",
            "请看 `rollout status` 里稳定池的节点和负载。",
        ),
        "failover.ended": ("备用池已交还：{message}", "不用做什么。"),
        "backup.problem": ("备用池：{message}", "请在用到它之前修好。"),
        "backup.mended": ("备用池：又能接手了", "不用做什么。"),
        "node.failed": (
            "节点 {subject} 接连退出",
            "请查看：`rollout status` 有它最后几行日志；隔一阵会再试。",
        ),
        "node.recovered": ("节点 {subject} 已恢复", "不用做什么。"),
    },
}

DRILL_WORDS: Final[Mapping[Language, str]] = {
    "en": "`rollout drill history` has the numbers, `rollout events` what was done.",
    "zh": "`rollout drill history` 看数字，`rollout events` 看做了什么。",
}

SHARES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "none": "{percent:g} % of the traffic",
        "required": "those who opted in",
        "copies": "nobody, and gets copies of {percent:g} % of the requests",
    },
    "zh": {
        "none": " {percent:g}% 流量",
        "required": "自愿参加者的流量",
        "copies": " {percent:g}% 请求的副本（不回答任何人）",
    },
}

"""What stands on the page for raters, in their language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["en", "zh-CN"]

_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "which": "Which text says what you hear?",
        "all_done": "You have voted on all pairs. Thank you!",
        "nothing": "There is nothing to compare at the moment.",
        "not_invited": "This page is for people with a link of their own.",
        "get_link": "Whoever runs the rollouts makes one with: rollout review invite YOUR-NAME",
        "listen": "Listen first. The two texts come from two versions of the same recogniser; "
        "which is whose, you are not told. How numbers, names and punctuation are written "
        "counts, too, if it matters to you.",
        "left": "left",
        "right": "right",
        "same": "no difference that matters",
        "neither": "both wrong",
        "corrected": "What was really said (if you like; the text is kept)",
        "empty": "(no text)",
        "done": "voted",
        "press": "Keys: 1 left, 2 right, 3 no difference, 4 both wrong, space plays.",
        "change": "Change my last vote",
        "you": "You vote as",
    },
    "zh-CN": {
        "which": "哪段文字与您听到的一致？",
        "all_done": "您已对所有条目投票，谢谢！",
        "nothing": "目前没有需要比较的内容。",
        "not_invited": "此页面需要您个人的链接才能打开。",
        "get_link": "请让负责发布的同事生成链接：rollout review invite 您的名字",
        "listen": "请先听录音。两段文字来自同一识别器的两个版本，不会告诉您哪段属于哪个版本。"
        "数字、人名和标点的写法，如果您在意，也算在内。",
        "left": "左边",
        "right": "右边",
        "same": "没有实质差别",
        "neither": "两边都错",
        "corrected": "实际说了什么（可不填；填写的文字会被保存）",
        "empty": "（无文字）",
        "done": "已投票",
        "press": "按键：1 左边，2 右边，3 没有差别，4 都错，空格播放。",
        "change": "修改我上一次的投票",
        "you": "您的投票身份",
    },
}


def words(language: Language) -> Mapping[str, str]:
    return _WORDS[language]

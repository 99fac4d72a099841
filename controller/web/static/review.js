// Keys 1-4 press the answers and space plays; in the text field they are only text.
document.addEventListener('keydown', (event) => {
    if (event.target.tagName === 'TEXTAREA' || event.ctrlKey || event.metaKey || event.altKey) {
        return;
    }
    const answers = document.querySelectorAll('button[name=vote]');
    const audio = document.querySelector('audio');
    if (event.key >= '1' && event.key <= '4' && answers.length && !event.repeat) {
        event.preventDefault();
        answers[Number(event.key) - 1].click();
    } else if (event.key === ' ' && audio && event.target === document.body) {
        event.preventDefault();
        if (audio.paused) { audio.play(); } else { audio.pause(); }
    }
});

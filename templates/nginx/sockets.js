// The control socket's name is taken aside as soon as nginx listens on it: a name that a killed
// nginx leaves would keep the next one from starting, and in a container Docker may start that
// one while no controller runs. (A controller that runs does the same, a little sooner.) Once per
// start, as long as the shared dictionary lives: every `nginx -t` listens on that name, too, for a
// moment, and that socket in the place of ours would be the loss of ours.
import fs from 'fs';

function takeAside() {
    if (!ngx.shared.asr.add('aside', '1')) {
        return;
    }
    try {
        fs.renameSync(asr_config.socket, asr_config.live_socket);
    } catch (e) {
        return;  // it is aside, or in a folder that only the controller may write
    }
}

export default {takeAside};

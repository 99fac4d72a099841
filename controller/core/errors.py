"""Every error of the controller. Each says what failed, what still holds, what to do.

ControllerError
├── Refused              the request cannot be honoured; nothing has changed     (HTTP 409)
│   ├── InvalidName          a name that is not `[a-z0-9][a-z0-9._-]*`            (HTTP 422)
│   ├── InvalidConfig        fleet.yaml, a plan or a manifest; carries the path   (HTTP 422)
│   ├── NotFound             an unknown version, plan, eval set or rollout        (HTTP 404)
│   ├── IllegalTransition    a rollout cannot do that in its phase
│   └── SpoolFull            no room to keep a request until a node can serve it
├── StoreUnavailable     the state cannot be read or written, as on a full disk   (HTTP 503)
├── RuntimeUnavailable   Docker or a process could not be reached or started      (HTTP 503)
├── RouterUnavailable    nginx does not answer                                    (HTTP 503)
│   └── ReloadRejected       nginx refused the new configuration; the old serves
├── NodeUnavailable      a node did not answer, was busy or failed                (HTTP 503)
│   └── NoTranscript         it was reached and gave no text of this recording
└── NotificationFailed   a message was not delivered; rollouts are not touched    (HTTP 503)
"""


class ControllerError(Exception):
    """Base of all errors that the controller raises on purpose."""


class Refused(ControllerError):
    """The request cannot be honoured; nothing has changed."""


class InvalidName(Refused):
    """A name from outside is not made of the allowed characters."""


class InvalidConfig(Refused):
    """A configuration file is wrong; the message starts with `file: path.of.key`."""


class NotFound(Refused):
    """No version, plan, eval set or rollout of that name."""


class IllegalTransition(Refused):
    """The rollout's phase does not allow the command."""


class SpoolFull(Refused):
    """There is no room to keep a request until a node can serve it."""


class StoreUnavailable(ControllerError):
    """The state cannot be read or written, as on a full disk: what is not written is not done."""


class RuntimeUnavailable(ControllerError):
    """The container engine or the operating system did not do what was asked."""


class RouterUnavailable(ControllerError):
    """nginx does not run, or its control socket does not answer."""


class ReloadRejected(RouterUnavailable):
    """nginx rejected a configuration; the previous one still serves."""


class NodeUnavailable(ControllerError):
    """A node did not answer in time, was busy, or answered with an error."""


class NoTranscript(NodeUnavailable):
    """A node was reached, had time, and gave no text of this recording: it is the answer of its
    version, where the others give none either."""


class NotificationFailed(ControllerError):
    """A message to people was not delivered; the text never has the URL."""

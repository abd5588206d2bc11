"""The command `sciml`. Imports what a subcommand needs when it is called: help and typing errors are fast."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module

from sciml import errors
from sciml.cli.help import COMMANDS, asked, full
from sciml.cli.messages import nearest

KNOWN = (
    errors.BadSchema,
    errors.NonFinite,
    errors.UnsafeFile,
    errors.CheckpointError,
    errors.RunFailed,
    OSError,  # CorruptFile; no such file; disk full
)


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0, 1 (bad data, divergence), 2 (bad usage or setting), 130 or
    143 (stopped by Ctrl-C or SIGTERM).

    Errors that we know become one line on stderr; set SCIML_DEBUG=1 to see where they come from.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if not arguments:
        print(COMMANDS, end="", file=sys.stderr)
        return 2
    if (text := asked(arguments)) is not None:
        print(text, end="")
        return 0
    arguments = full(arguments) or arguments
    try:
        with warnings.catch_warnings():
            return _command(arguments[0])(arguments)
    except errors.ConfigError as error:
        return _fail(error, 2)
    except KNOWN as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        print("sciml: interrupted", file=sys.stderr)
        return 130
    except SystemExit as exit_:  # --help, --print_config
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)


def _command(name: str) -> Callable[[list[str]], int]:
    modules = {"fit": "train", "validate": "train", "test": "train", "predict": "train"}
    modules |= {"data": "tools", "compare": "tools", "verify": "tools", "study": "study"}
    if name not in modules:
        raise errors.ConfigError(f"unknown command {name!r}{nearest(name, list(modules))}; see sciml --help")
    module = import_module(f"sciml.cli.{modules[name]}")
    return module.run if modules[name] == "train" else getattr(module, name)


def _fail(error: Exception, status: int) -> int:
    if os.environ.get("SCIML_DEBUG"):
        raise error
    print(f"sciml: {type(error).__name__}: {error}", file=sys.stderr)
    return status

"""Where training stands, written into a checkpoint so that Lightning goes on from there, also within an epoch.

Lightning counts batches and epochs that are ready, started, processed and completed, and tells from the differences
where it was interrupted. It knows three states: in `on_train_batch_end`, within a validation, and in
`on_train_epoch_end` of a whole epoch. What is saved elsewhere it takes for one of these, and then loses a step or a
validation, or counts an epoch twice. So every state is written as one of the three.

All that is known of Lightning's loops is here; tests/test_private_names.py fails where they are others.
"""

from typing import Any

from lightning.pytorch import Trainer

Progress = dict[str, Any]  # total and current, each of ready, started, processed, completed; is_last_batch


def batches_done(trainer: Trainer) -> int:
    """Batches of the present epoch that were trained on."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return progress.processed


def epochs_done(trainer: Trainer) -> int:
    progress: Any = trainer.fit_loop.epoch_progress.current
    return progress.processed


def limit_steps(trainer: Trainer, steps: int) -> int:
    """Let training end after so many steps, -1 for no limit; returns what the limit was."""
    loop = trainer.fit_loop.epoch_loop
    before, loop.max_steps = loop.max_steps, steps
    return before


def all_batches_done(trainer: Trainer) -> bool:
    """False where max_steps or a callback ends an epoch before its last batch."""
    return batches_done(trainer) >= trainer.num_training_batches


def make_resumable(loops: dict[str, Any], trainer: Trainer) -> None:
    """Rewrites a checkpoint's `loops` in place."""
    fit, done = loops["fit_loop"], batches_done(trainer)
    epochs, batches = fit["epoch_progress"], fit["epoch_loop.batch_progress"]
    no_epoch_begun = epochs["current"]["processed"] == epochs["current"]["ready"]
    if no_epoch_begun and (done == 0 or all_batches_done(trainer)):
        return
    batches["is_last_batch"] = all_batches_done(trainer)  # the next one may have been fetched already
    if done == 0:  # as at the end of the epoch before
        _forget_begun(epochs)
        _forget_begun(batches)
    elif trainer.validating or all_batches_done(trainer):  # all of the validation is still to be done
        _within(epochs)
        for counts in (fit["epoch_loop.val_loop.batch_progress"][part] for part in ("total", "current")):
            counts.update(ready=1, started=1, processed=0, completed=0)
    else:
        _within(epochs)
        if batches["current"]["completed"] == done and done % trainer.accumulate_grad_batches == 0:
            fit["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # counted when it goes on
        for counts in (batches["total"], batches["current"]):
            last = counts["processed"]
            counts.update(ready=last, started=last, processed=last, completed=last - 1)


def _within(epochs: Progress) -> None:
    """One epoch more has been started than completed."""
    for counts in (epochs["total"], epochs["current"]):
        complete = counts["ready"] - 1
        counts.update(processed=complete, completed=complete)


def _forget_begun(progress: Progress) -> None:
    for counts in (progress["total"], progress["current"]):
        counts.update(ready=counts["processed"], started=counts["processed"], completed=counts["processed"])

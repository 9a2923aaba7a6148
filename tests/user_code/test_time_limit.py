"""What a process that hung left behind: which replicate it was, and the user's line."""

import faulthandler
import math
import threading

from simstudy.user_code.time_limit import Limit, read_notes, run_within


def test_a_note_names_the_line_of_the_thread_that_hung(tmp_path):
    """The dump holds all threads: other code of the user's may run in one of them."""
    began, go_on = threading.Event(), threading.Event()
    space = {"wait": go_on.wait, "began": began}
    exec(compile("\ndef hang():\n    began.set()\n    wait()\n", "study.py", "exec"), space)
    exec(compile("def other(call):\n    call()\n", "elsewhere.py", "exec"), space)

    def work():
        run_within(Limit(math.inf, str(tmp_path)), (3, 7), space["hang"])

    def dump():
        began.wait()
        (path,) = tmp_path.glob("*.note")
        with path.open("a") as file:
            faulthandler.dump_traceback(file, all_threads=True)

    hung = threading.Thread(target=work)
    newer = threading.Thread(target=space["other"], args=[dump])
    hung.start()
    newer.start()
    newer.join()
    found = read_notes(str(tmp_path))
    go_on.set()
    hung.join()
    assert list(found) == [(3, 7)]
    assert "hang, line 4 of study.py" in found[3, 7]

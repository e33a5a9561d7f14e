"""Background jobs: the line, who watches, and what a pause of one does to another."""

from __future__ import annotations

import threading

from app.jobs import Cancelled, Job, JobQueue
from tests.app.pages import endless, until


def _framing(job: Job) -> str:
    for i in range(10_000):
        job.report(i / 10_000, i)
        threading.Event().wait(0.002)
    return "end"


def test_two_jobs_run_and_a_third_waits_in_line():
    queue = JobQueue(workers=2)
    first, second, third, fourth = (queue.submit(f"job {i}", endless) for i in range(4))
    until(lambda: first.state == second.state == "running")
    assert (third.state, queue.ahead_of(third), queue.ahead_of(fourth)) == ("waiting", 0, 1)
    assert queue.submit("job 0", endless) is first
    first.cancel()
    until(lambda: first.state == "cancelled" and third.state == "running")
    assert queue.ahead_of(fourth) == 0
    for job in (second, third, fourth):
        job.cancel()
    until(lambda: second.over and third.over and fourth.over)
    assert queue.submit("job 0", endless) is not first
    queue.get("job 0").cancel()


def test_finished_jobs_are_forgotten_in_the_end():
    queue = JobQueue(workers=1, max_finished=2)
    for i in range(4):
        job = queue.submit(f"job {i}", lambda job: 1)
        until(lambda job=job: job.over)
    queue.submit("last", lambda job: 1)
    assert [queue.get(f"job {i}") is None for i in range(4)] == [True, True, False, False]


def test_a_line_that_is_full_says_so():
    queue = JobQueue(workers=1, max_unfinished=2)
    running = [queue.submit(f"job {i}", endless) for i in range(2)]
    late = queue.submit("late", endless)
    assert late.state == "failed"
    assert "The line is full: 1 wait already" in late.error
    for job in running:
        job.cancel()
    until(lambda: all(job.over for job in running))
    again = queue.submit("late", endless)
    until(lambda: again.state == "running")
    again.cancel()


def test_one_watcher_leaves_and_the_other_keeps_the_job():
    queue = JobQueue()
    job = queue.submit("shared", _framing)
    job.watch("ann")
    job.watch("bob")
    job.leave("ann")
    frames = len(job.frames)
    until(lambda: len(job.frames) > frames + 3)
    assert job.state == "running"
    job.leave("bob")
    until(lambda: job.state == "cancelled")


def test_a_watcher_whose_page_is_closed_keeps_nothing():
    connected = {"ann", "bob"}
    queue = JobQueue(is_connected=connected.__contains__)
    job = queue.submit("shared", _framing)
    job.watch("ann")
    job.watch("bob")
    connected.discard("bob")
    job.leave("ann")
    until(lambda: job.state == "cancelled")


def test_pause_stops_the_work_and_step_lets_one_frame_through():
    job = JobQueue().submit("mine", _framing)
    job.watch("ann")
    until(lambda: len(job.frames) > 2)
    job.pause("ann")
    until(lambda: job.state == "paused")
    allowed = int(job.allowed_frames("ann"))
    for _ in range(3):
        job.step("ann")
        allowed += 1
        until(lambda allowed=allowed: job.state == "paused" and len(job.frames) >= allowed)
        assert job.allowed_frames("ann") == allowed
    assert len(job.frames) <= allowed + 1  # the frame that was under way when pause was pressed
    job.play("ann")
    until(lambda: len(job.frames) > allowed + 5)
    job.leave("ann")
    until(lambda: job.over)


def test_the_pause_of_one_does_not_stop_another():
    job = JobQueue().submit("shared", _framing)
    job.watch("ann")
    job.watch("bob")
    until(lambda: len(job.frames) > 2)
    job.pause("ann")
    allowed = job.allowed_frames("ann")
    until(lambda: len(job.frames) > allowed + 5)
    assert job.state == "running"
    job.pause("bob")
    until(lambda: job.state == "paused")
    job.watch("carol")  # whoever comes now finds it paused
    assert job.allowed_frames("carol") == len(job.frames)
    job.play("ann")
    until(lambda: job.state == "running")
    job.cancel()
    until(lambda: job.over)


def test_a_paused_job_gives_its_place_to_the_next_in_line():
    queue = JobQueue(workers=1)
    first, second = queue.submit("first", _framing), queue.submit("second", _framing)
    first.watch("ann")
    second.watch("bob")
    until(lambda: first.frames)
    assert second.state == "waiting"
    first.pause("ann")
    until(lambda: second.state == "running")
    first.play("ann")
    until(lambda: first.state == "waiting")
    second.leave("bob")
    until(lambda: first.state == "running" and second.state == "cancelled")
    first.pause("ann")
    until(lambda: first.state == "paused")
    first.leave("ann")
    until(lambda: first.state == "cancelled")


def test_a_job_that_is_cancelled_in_line_never_begins():
    calls = []
    queue = JobQueue(workers=1)
    first, second = queue.submit("first", endless), queue.submit("second", calls.append)
    second.cancel()
    first.cancel()
    until(lambda: first.over and second.over)
    third = queue.submit("third", lambda job: 3)
    until(lambda: third.state == "done")
    assert second.state == "cancelled"
    assert calls == []


def test_work_on_ones_own_data_is_kept_nowhere_and_stops_when_its_owner_is_gone():
    connected = {"ann"}
    queue = JobQueue(max_unfinished=1, is_connected=connected.__contains__)
    job = queue.submit_owned("own", _framing, "ann")
    until(lambda: job.frames)
    assert queue.get("own") is None
    assert "The line is full" in queue.submit_owned("own", _framing, "ann").error
    connected.discard("ann")
    until(lambda: job.state == "cancelled")


def test_the_work_is_told_by_an_exception():
    raised = []

    def work(job: Job) -> None:
        try:
            endless(job)
        except Cancelled:
            raised.append(True)
            raise

    job = JobQueue().submit("any", work)
    until(lambda: job.state == "running")
    job.cancel()
    until(lambda: job.state == "cancelled")
    assert raised == [True]

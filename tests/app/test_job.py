"""A job: who watches, and what a pause of one does to another."""

from __future__ import annotations

from app.job import Cancelled, Job
from app.jobs import JobQueue
from tests.app.pages import endless, framing, until


def test_one_watcher_leaves_and_the_other_keeps_the_job():
    queue = JobQueue()
    job = queue.submit("shared", framing)
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
    job = queue.submit("shared", framing)
    job.watch("ann")
    job.watch("bob")
    connected.discard("bob")
    job.leave("ann")
    until(lambda: job.state == "cancelled")


def test_pause_stops_the_work_and_step_lets_one_frame_through():
    job = JobQueue().submit("mine", framing)
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
    job = JobQueue().submit("shared", framing)
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


def test_a_job_says_how_long_it_takes_still_at_the_pace_of_its_stage(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr("app.job.time.monotonic", lambda: now[0])

    def work(job: Job) -> None:
        for seconds, progress in ((1.0, 0.1), (10.0, 0.25), (10.0, 0.0), (14.0, 0.5)):
            now[0] = seconds
            job.report(progress)
            said.append(job.seconds_left)

    job = Job("any", work)
    job.run()
    assert said == [None, 30.0, None, 4.0]  # a second tells nothing; what begins anew counts anew
    assert job.stage_seconds == 0.0

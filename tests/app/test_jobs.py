"""Background jobs: the line, who watches, and what a pause of one does to another."""

from __future__ import annotations

import threading

from app.jobs import Cancelled, Job, Jobs
from tests.app.pages import endless, until


def _framing(job: Job) -> str:
    for i in range(10_000):
        job.report(i / 10_000, i)
        threading.Event().wait(0.002)
    return "end"


def test_two_jobs_run_and_a_third_waits_in_line():
    jobs = Jobs(running=2)
    first, second, third, fourth = (jobs.submit(f"job {i}", endless) for i in range(4))
    until(lambda: first.state == second.state == "running")
    assert (third.state, jobs.ahead(third), jobs.ahead(fourth)) == ("waiting", 0, 1)
    assert jobs.submit("job 0", endless) is first
    first.cancel()
    until(lambda: first.state == "cancelled" and third.state == "running")
    assert jobs.ahead(fourth) == 0
    for job in (second, third, fourth):
        job.cancel()
    until(lambda: second.over and third.over and fourth.over)
    assert jobs.submit("job 0", endless) is not first
    jobs.get("job 0").cancel()


def test_finished_jobs_are_forgotten_in_the_end():
    jobs = Jobs(running=1, kept=2)
    for i in range(4):
        job = jobs.submit(f"job {i}", lambda job: 1)
        until(lambda job=job: job.over)
    jobs.submit("last", lambda job: 1)
    assert [jobs.get(f"job {i}") is None for i in range(4)] == [True, True, False, False]


def test_a_line_that_is_full_says_so():
    jobs = Jobs(running=1, unfinished=2)
    taken = [jobs.submit(f"job {i}", endless) for i in range(2)]
    late = jobs.submit("late", endless)
    assert late.state == "failed"
    assert "The line is full: 1 wait already" in late.error
    for job in taken:
        job.cancel()
    until(lambda: all(job.over for job in taken))
    again = jobs.submit("late", endless)
    until(lambda: again.state == "running")
    again.cancel()


def test_one_watcher_leaves_and_the_other_keeps_the_job():
    jobs = Jobs()
    job = jobs.submit("shared", _framing)
    job.watch("ann")
    job.watch("bob")
    job.leave("ann")
    seen = len(job.frames)
    until(lambda: len(job.frames) > seen + 3)
    assert job.state == "running"
    job.leave("bob")
    until(lambda: job.state == "cancelled")


def test_a_watcher_whose_page_is_closed_keeps_nothing():
    there = {"ann", "bob"}
    jobs = Jobs(present=lambda who: who in there)
    job = jobs.submit("shared", _framing)
    job.watch("ann")
    job.watch("bob")
    there.discard("bob")
    job.leave("ann")
    until(lambda: job.state == "cancelled")


def test_pause_stops_the_work_and_step_lets_one_frame_through():
    job = Jobs().submit("mine", _framing)
    job.watch("ann")
    until(lambda: len(job.frames) > 2)
    job.pause("ann")
    until(lambda: job.state == "paused")
    shown = int(job.allowed("ann"))
    for _ in range(3):
        job.step("ann")
        shown += 1
        until(lambda shown=shown: job.state == "paused" and len(job.frames) >= shown)
        assert job.allowed("ann") == shown
    assert len(job.frames) <= shown + 1  # the frame that was under way when pause was pressed
    job.play("ann")
    until(lambda: len(job.frames) > shown + 5)
    job.leave("ann")
    until(lambda: job.over)


def test_the_pause_of_one_does_not_stop_another():
    job = Jobs().submit("shared", _framing)
    job.watch("ann")
    job.watch("bob")
    until(lambda: len(job.frames) > 2)
    job.pause("ann")
    shown = job.allowed("ann")
    until(lambda: len(job.frames) > shown + 5)
    assert job.state == "running"
    job.pause("bob")
    until(lambda: job.state == "paused")
    job.watch("carol")  # whoever comes now finds it paused
    assert job.allowed("carol") == len(job.frames)
    job.play("ann")
    until(lambda: job.state == "running")
    job.cancel()
    until(lambda: job.over)


def test_a_paused_job_gives_its_place_to_the_next_in_line():
    jobs = Jobs(running=1)
    first, second = jobs.submit("first", _framing), jobs.submit("second", _framing)
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
    begun = []
    jobs = Jobs(running=1)
    first, second = jobs.submit("first", endless), jobs.submit("second", begun.append)
    second.cancel()
    first.cancel()
    until(lambda: first.over and second.over)
    third = jobs.submit("third", lambda job: 3)
    until(lambda: third.state == "done")
    assert second.state == "cancelled"
    assert begun == []


def test_work_on_ones_own_data_is_kept_nowhere_and_stops_when_its_owner_is_gone():
    there = {"ann"}
    jobs = Jobs(unfinished=1, present=lambda who: who in there)
    job = jobs.lend("own", _framing, "ann")
    until(lambda: job.frames)
    assert jobs.get("own") is None
    assert "The line is full" in jobs.lend("own", _framing, "ann").error
    there.discard("ann")
    until(lambda: job.state == "cancelled")


def test_the_work_is_told_by_an_exception():
    told = []

    def work(job: Job) -> None:
        try:
            endless(job)
        except Cancelled:
            told.append(True)
            raise

    job = Jobs().submit("any", work)
    until(lambda: job.state == "running")
    job.cancel()
    until(lambda: job.state == "cancelled")
    assert told == [True]

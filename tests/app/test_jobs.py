"""The queue of jobs: the line, who may have how many in it, and what it forgets."""

from __future__ import annotations

import threading

from app.job import EVERYBODY, Job
from app.jobs import JobQueue
from tests.app.pages import JOB_SECONDS, endless, framing, until

ANN, CAROL = ("10.0.0.1", "ann"), ("10.0.0.1", "carol")
BOB = ("10.0.0.2", "bob")
BOTH = (ANN, BOB)


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


def test_nobodys_jobs_make_everybodys_be_forgotten():
    queue = JobQueue(workers=1, max_finished=2)
    visitors = [EVERYBODY, BOB, *[ANN] * 4]
    for i, visitor in enumerate(visitors):
        job = queue.submit(f"job {i}", lambda job: 1, visitor)
        until(lambda job=job: job.over)
    queue.submit("last", lambda job: 1, BOB)
    kept = [i for i in range(len(visitors)) if queue.get(f"job {i}") is not None]
    assert kept == [0, 1, 5]  # of two, the visitor's oldest go first who has most


def test_a_refusal_is_kept_nowhere_and_the_next_may_get_in():
    queue = JobQueue(workers=1, max_unfinished=2)
    running = [queue.submit(f"job {i}", endless, ANN) for i in range(2)]
    until(lambda: running[0].state == "running")
    late = queue.submit("late", endless, BOB)
    assert late.was_refused
    assert late.state == "failed"
    assert "The line is full: 1 wait already" in late.error
    assert queue.get("late") is None
    for job in running:
        job.cancel()
    until(lambda: all(job.over for job in running))
    again = queue.submit("late", endless, BOB)
    until(lambda: again.state == "running")
    assert not again.was_refused
    assert queue.stop(JOB_SECONDS)


def test_what_has_failed_is_kept_until_the_next_attempt():
    def fail(job: Job) -> None:
        raise ValueError("a reason")

    queue = JobQueue()
    job = queue.submit("any", fail)
    until(lambda: job.state == "failed")
    assert queue.get("any") is job
    assert job.error == "a reason"
    again = queue.submit("any", lambda job: 1)
    until(lambda: again.state == "done")


def test_nobody_takes_more_than_their_share_of_the_line():
    queue = JobQueue(workers=1, max_unfinished=9, quotas=(5, 2))
    for i, visitor in enumerate((ANN, ANN, CAROL, CAROL, BOB, BOB)):
        assert not queue.submit(f"job {i}", endless, visitor).was_refused
    assert "Your part of the line is full: 2 jobs" in queue.submit("more", endless, ANN).error
    dave = (ANN[0], "dave")  # at the same address as Ann and Carol
    assert not queue.submit("dave's", endless, dave).was_refused
    assert "Your part of the line is full: 5 jobs" in queue.submit("more", endless, dave).error
    assert not queue.submit("everybody's", endless).was_refused
    assert not queue.submit("more", endless, ("another address", "erin")).was_refused
    assert queue.stop(JOB_SECONDS)


def test_paused_work_holds_no_place_in_the_line():
    queue = JobQueue(workers=2, max_unfinished=2)
    paused = [queue.submit(f"job {i}", framing, ANN) for i in range(2)]
    for job in paused:
        job.watch("ann")
        until(lambda job=job: job.frames)
        job.pause("ann")
        until(lambda job=job: job.state == "paused")
    more = [queue.submit(f"more {i}", endless, BOB) for i in range(2)]
    until(lambda: all(job.state == "running" for job in more))
    assert queue.submit("last", endless, BOB).was_refused
    assert queue.stop(JOB_SECONDS)


def test_of_too_many_paused_jobs_of_a_visitor_the_oldest_ends():
    queue = JobQueue(max_paused=2)
    jobs = [queue.submit(f"{visitor} {i}", framing, visitor) for i in range(3) for visitor in BOTH]
    for job in jobs[:4] + jobs[5:]:  # of the six, Bob has three and Ann two
        job.watch("tab")
        until(lambda job=job: job.frames)
        job.pause("tab")
        until(lambda job=job: job.state == "paused")
    queue.tend()
    until(lambda: jobs[1].state == "cancelled")
    assert [job.state for job in (jobs[0], jobs[2], jobs[3], jobs[5])] == ["paused"] * 4
    assert queue.stop(JOB_SECONDS)


def test_a_visitor_who_has_no_slot_gets_one_of_anothers_two():
    queue = JobQueue(workers=2)
    anns = [queue.submit(f"ann {i}", endless, ANN) for i in range(4)]
    until(lambda: anns[0].state == anns[1].state == "running")
    bobs = [queue.submit(f"bob {i}", endless, BOB) for i in range(2)]
    until(lambda: bobs[0].state == "running")
    assert sorted(job.state for job in anns[:2]) == ["running", "waiting"]
    assert bobs[1].state == "waiting"
    assert queue.submit("bob 0", endless, ANN) is bobs[0]  # equal requests share a job
    assert queue.stop(JOB_SECONDS)


def test_work_that_another_wants_too_is_not_held_up_by_whoever_asked_first():
    queue = JobQueue(workers=1)
    anns = [queue.submit(f"job {i}", endless, ANN) for i in range(4)]
    until(lambda: anns[0].state == "running")
    assert queue.ahead_of(anns[3]) == 2
    assert queue.submit("job 3", endless, BOB) is anns[3]
    assert anns[3].visitor == BOB
    until(lambda: anns[3].state == "running")
    assert queue.stop(JOB_SECONDS)


def test_a_watchers_closed_tab_ends_the_work_unless_it_is_everybodys():
    connected = {"ann", "bob"}
    queue = JobQueue(unwatched_seconds=0, is_connected=connected.__contains__)
    training = queue.submit("training", framing, ANN)
    scoring = queue.submit("scoring", framing)
    for job in (training, scoring):
        job.watch("ann")
        until(lambda job=job: job.frames)
    training.watch("bob")
    connected.discard("ann")
    queue.tend()
    assert not training.was_cancelled
    connected.discard("bob")
    queue.tend()
    until(lambda: training.state == "cancelled")
    assert not scoring.was_cancelled
    assert queue.stop(JOB_SECONDS)


def test_a_tab_that_comes_back_in_time_keeps_its_work():
    connected = {"ann"}
    queue = JobQueue(unwatched_seconds=1e9, is_connected=connected.__contains__)
    job = queue.submit("training", framing, ANN)
    job.watch("ann")
    connected.discard("ann")
    queue.tend()
    connected.add("again")  # the page was loaded anew
    job.watch("again")
    queue.unwatched_seconds = 0
    queue.tend()
    assert not job.was_cancelled
    assert queue.stop(JOB_SECONDS)


def test_a_queue_that_stops_ends_every_job_and_takes_no_other():
    queue = JobQueue(workers=2)
    jobs = [queue.submit(f"job {i}", framing, ANN) for i in range(4)]
    jobs[0].watch("ann")
    until(lambda: jobs[0].frames)
    jobs[0].pause("ann")
    until(lambda: jobs[0].state == "paused")
    ended: list[bool] = []
    queue.start_thread(lambda: ended.append(True))
    assert queue.stop(JOB_SECONDS)
    assert ended == [True]
    assert [job.state for job in jobs] == ["cancelled"] * 4
    assert queue.submit("late", endless).was_refused


def test_a_queue_that_stops_waits_no_longer_than_it_was_told():
    queue = JobQueue()
    gate = threading.Event()
    job = queue.submit("deaf", lambda job: gate.wait())
    until(lambda: job.state == "running")
    assert not queue.stop(0.01)
    gate.set()
    assert queue.stop(JOB_SECONDS)


def test_a_paused_job_gives_its_place_to_the_next_in_line():
    queue = JobQueue(workers=1)
    first, second = queue.submit("first", framing), queue.submit("second", framing)
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
    job = queue.submit_owned("own", framing, "ann", ANN)
    until(lambda: job.frames)
    assert queue.get("own") is None
    assert "The line is full" in queue.submit_owned("own", framing, "ann", ANN).error
    connected.discard("ann")
    until(lambda: job.state == "cancelled")


def test_work_in_line_on_data_whose_owner_is_gone_ends_there():
    connected = {"ann"}
    queue = JobQueue(workers=1, is_connected=connected.__contains__)
    queue.submit("first", endless, BOB)
    job = queue.submit_owned("own", endless, "ann", ANN)
    connected.discard("ann")
    queue.tend()
    until(lambda: job.state == "cancelled")
    assert not job.has_begun
    assert queue.stop(JOB_SECONDS)

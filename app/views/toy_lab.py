"""Toy lab: train in the plane and hold the energy against the exact truth."""

import streamlit as st

from app import controls, figures, session

TITLES = {
    "truth": ("Truth", "the exact energy, -log p"),
    "prior": ("Prior", "one Gaussian a class"),
    "correction": ("Correction", "blue: likelier than the prior says, orange: rarer"),
    "total": ("Total", "the energy that scores"),
}

st.title("Toy lab")
st.caption("Train a detector on points in the plane and see what its energy gets right. The truth is known exactly here.")
choice = controls.toy_choice()
picture = session.toy_picture(choice.toy, choice.seed)
st.badge(
    f"{picture.title}: {picture.size:,} training points, {picture.modes} mode{'s' * (picture.modes > 1)}",
    icon=":material/scatter_plot:",
)


def panels(layers: dict) -> None:
    """Shows the truth and the layers of an energy side by side; a layer that is still to come keeps its place."""
    expected = ("prior", "correction", "total") if choice.detector == "HEAT" else ("total",)
    shown = {"truth": picture.truth} | {name: layers.get(name) for name in expected}
    for column, (name, energy) in zip(st.columns(4), shown.items(), strict=False):
        title, meaning = TITLES[name]
        column.markdown(f"**{title}**  \n:small[{meaning}]")
        if energy is None:
            column.container(height=figures.HEIGHT, border=True).caption("Comes with the training.")
            continue
        figure = figures.landscape(picture.axis, energy, picture.points, signed=name == "correction")
        column.plotly_chart(figure, key=f"panel-{name}", alt=f"{title} over the plane: {meaning}", config=figures.QUIET)


def curves(frames: list, mog_kl: float | None = None) -> None:
    """Shows how the distance to the truth and the loss fell."""
    recorded = [frame for frame in frames if frame.record]
    if len(recorded) < 2:
        return
    steps = [frame.record.step for frame in recorded]
    left, right = st.columns(2)
    kl = [frame.distance.kl for frame in recorded]
    left.markdown(f"**KL to the truth fell from {kl[0]:.2f} to {kl[-1]:.3f} nats**")
    reference = ("MoG", mog_kl) if mog_kl is not None else None
    left.plotly_chart(
        figures.curve(steps, {"KL": kl}, "nats", reference), key="kl", alt="KL divergence from the truth by training step"
    )
    right.markdown("**Loss of telling data from noise** :small[(1.39 is guessing)]")
    lines = {"training": [f.record.loss for f in recorded], "held out": [f.record.held_out for f in recorded]}
    right.plotly_chart(figures.curve(steps, lines, "nats"), key="loss", alt="Training and held-out loss by training step")


def finished(job) -> None:
    result, d = job.result, job.result.distance
    if choice.detector == "MoG":
        finding = f"One Gaussian a class is {d.kl:.3f} nats from the truth."
    elif d.kl < result.mog.kl:
        finding = f"{choice.detector} is {result.mog.kl / d.kl:.1f} times closer to the truth than the Gaussians alone."
    else:
        finding = f"{choice.detector} is further from the truth than the Gaussians alone: as a density, it is the worse model."
    st.subheader(finding)
    cells = st.columns(5)
    cells[0].metric("KL(true || model)", f"{d.kl:.3f} nats", help="0 is a perfect model; by quadrature on 300 x 300 points.")
    cells[1].metric("KL of the MoG", f"{result.mog.kl:.3f} nats")
    cells[2].metric("Total variation", f"{100 * d.tv:.1f} %", help="The share of probability that lies in the wrong place.")
    cells[3].metric(
        "Modes kept", f"{d.modes} of {d.modes_total}", help="A mode is kept if the model gives it at least half of its mass."
    )
    cells[4].metric("Training time", f"{result.seconds:.1f} s")
    panels(dict(result.frame.layers))
    curves(job.frames, result.mog.kl)


@st.fragment(run_every=0.5)
def live(job) -> None:
    if job.over:
        st.rerun()
    frames = list(job.frames)
    if job.state == "waiting":
        ahead = session.jobs().ahead(job)
        text = "Waiting: two trainings are under way." + (f" {ahead} more before this one." if ahead else "")
    else:
        text = f"Training {choice.detector}: {job.progress:.0%}" + (f", KL {frames[-1].distance.kl:.3f} nats" if frames else "")
    st.progress(job.progress, text)
    panels(dict(frames[-1].layers) if frames else {})
    curves(frames)


job = session.toy_job(choice)
if job is not None and not job.over:
    st.button("Cancel", icon=":material/stop:", on_click=job.cancel)
    live(job)
else:
    again = job is not None and job.state == "done"
    label = "Trained" if again else f"Train {choice.detector}"
    st.button(label, type="primary", icon=":material/play_arrow:", disabled=again, on_click=session.start_toy, args=(choice,))
    if job is None:
        st.info(
            f"Nothing is trained yet on these settings. The truth is below; press “Train {choice.detector}” to see the model."
        )
        panels({})
    elif job.state == "failed":
        st.error(job.error, icon=":material/error:")
        panels({})
    elif job.state == "cancelled":
        st.warning("Training was cancelled. This is how far it came; press the button to start again.")
        panels(dict(job.frames[-1].layers) if job.frames else {})
        curves(job.frames)
    else:
        finished(job)

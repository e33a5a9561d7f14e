"""Demo: the whole story in five steps."""

import streamlit as st

from app.demo.state import cached_story
from app.demo.steps import STEPS, demo_step
from app.pack import header
from app.text import plain

header.show(
    "Demo",
    "What this is about, in five steps. Go on with → and back with ←, on the keyboard or here.",
    real=False,
)
story = cached_story()
if isinstance(story, str):
    st.error(plain(story), icon=":material/error:")
else:
    number = demo_step(len(STEPS))
    step = STEPS[number - 1]
    st.header(f"{number}. {step.title}")
    st.markdown(f"#### {plain(step.tell(story), 500)}".replace(" %", "\u00a0%"))
    step.draw(story)
    script, label, query = step.room
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.page_link(script, label=f":primary[**{label} →**]", query_params=query)
        known, strange = (
            len(story.scores["MSP"]["test"]),
            sum(len(story.scores["MSP"][name]) for name in story.strange),
        )
        st.caption(
            f"Pictures: {plain(story.about['pack'])}; {known:,} familiar and {strange:,} strange ones scored, none left out. "
            f"Plane: {story.about['trained_on']:,} training points.",
            width="content",
        )

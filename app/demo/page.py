"""Demo: the whole story in five steps."""

import streamlit as st

from app.demo.state import cached_story
from app.demo.steps import STEPS, data_sentence, step_number
from app.pack import header
from app.text import plain

header.show(
    "Demo",
    "What this is about, in five steps. Go on with → and back with ←, on the keyboard or here.",
    uses_pack=False,
)
try:
    story = cached_story()
except ValueError as error:
    st.error(plain(error), icon=":material/error:")
else:
    number = step_number(len(STEPS))
    step = STEPS[number - 1]
    sentence = plain(step.sentence(story), 500).replace(" %", "\u00a0%")
    st.header(f"{number}. {step.title}")
    st.markdown(f"#### {sentence}")
    step.picture(story)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        label = f":primary[**{step.page.label} →**]"
        st.page_link(step.page.script, label=label, query_params=step.page.query)
        st.caption(data_sentence(story), width="content")

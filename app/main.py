"""The app: `streamlit run app/main.py`. Page settings and navigation, nothing else."""

import sys
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

# Streamlit puts app/ on the path, not the project. This script runs at every click.
PROJECT = str(Path(__file__).resolve().parent.parent)
if PROJECT not in sys.path:
    sys.path.insert(0, PROJECT)

st.set_page_config(
    page_title="HEAT: energies for OOD detection",
    page_icon=f"{PROJECT}/assets/icon.svg",
    layout="wide",
)


def toy_lab() -> None:
    """Leads from /toy_lab to /, where the Toy lab is since it is the first page."""
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    st.switch_page("toy_lab/page.py", query_params=query)


def run(page: StreamlitPage) -> None:
    """Runs a page, in its visitor's turn."""
    from app.components.phone_menu import close_menu_after_choice
    from app.session import visit

    st.html(Path(PROJECT, "app", "looks.css"))
    with visit():
        page.run()
        close_menu_after_choice()


page = st.navigation(
    [
        st.Page(
            "demo/page.py",
            title="Demo",
            icon=":material/slideshow:",
            url_path="demo",
            help="The whole story in five steps, for somebody who has never heard of it.",
        ),
        st.Page(
            "toy_lab/page.py",
            title="Toy lab",
            icon=":material/science:",
            default=True,
            url_path="first",  # never seen: the address of the default page is /
            help="Train a detector on points in the plane and hold its energy against the "
            "exact truth.",
        ),
        st.Page(
            "energy/page.py",
            title="Energy",
            icon=":material/bolt:",
            url_path="energy",
            help="Softmax against energy on a classifier in the plane: temperature, margins, "
            "fine-tuning.",
        ),
        st.Page(
            "landscape/page.py",
            title="Landscape",
            icon=":material/terrain:",
            url_path="landscape",
            help="Take a trained energy apart: prior, correction and sum, a point spelled "
            "out, the truth and the error.",
        ),
        st.Page(
            "feature_map/page.py",
            title="Feature map",
            icon=":material/map:",
            url_path="feature_map",
            help="Real features in two dimensions, OOD sets over them: draw around points "
            "to see what they are.",
        ),
        st.Page(
            "detectors/page.py",
            title="Detectors",
            icon=":material/stacked_bar_chart:",
            url_path="detectors",
            help="Detectors side by side on real features: histograms, the near / mid / far "
            "table, a threshold.",
        ),
        st.Page(
            "threshold_lab/page.py",
            title="Threshold lab",
            icon=":material/tune:",
            url_path="threshold_lab",
            help="Choose where the line is: drag it over the scores, or name what matters.",
        ),
        st.Page(
            "monitor/page.py",
            title="Monitor",
            icon=":material/monitor_heart:",
            url_path="monitor",
            help="A stream of inputs in use: alarms, drift, and when each test notices a change.",
        ),
        st.Page(toy_lab, visibility="hidden"),
    ],
    position="top",
)
run(page)

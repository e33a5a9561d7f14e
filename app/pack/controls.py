"""Widgets that return choices. Every choice lives in the URL, so a link reproduces the view."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import session
from app.plane.chains import STARTS, Walk
from app.plane.reading import Window
from app.session import ToyChoice
from app.text import plain
from heat_core.detectors.presets import DETECTORS
from heat_core.thresholds import F1, OBJECTIVES, ClassConformal, Conformal, FlagAtMost, Keep, LeastCost, Objective, Traffic

TOYS = ("crosses9", "cross", "moons", "circles", "spirals", "pinwheel", "checkerboard", "rings", "blobs")
PLANE_DETECTORS = ("HEAT", "EBM", "MoG", "SSD", "KNN")
PRESETS = ("modern", "quick", "best", "paper")


def _explain(key: str, offered: Collection[str], what: str) -> None:
    """Says so where the link asks for what is not offered."""
    asked = st.query_params.get(key, "")
    if asked and asked not in offered:
        said = f"The link asks for the {what} {plain(asked, 60)}, which is not offered here; another is shown."
        st.warning(said, icon=":material/link_off:")


def toy_choice() -> ToyChoice:
    """Returns what to train on what."""
    for key, offered in (("toy", TOYS), ("detector", PLANE_DETECTORS), ("preset", PRESETS)):
        _explain(key, offered, key)
    columns = st.columns([2, 3, 2, 1], vertical_alignment="bottom")
    session.from_link("toy", TOYS)
    toy = columns[0].selectbox(
        "Dataset", TOYS, key="toy", persist_state="session", format_func=session.toy_title,
        help="Densities in the plane, known exactly.",
    )  # fmt: skip
    detector = columns[1].segmented_control(
        "Detector", PLANE_DETECTORS, default="HEAT", required=True, key="detector", bind="query-params",
        help="HEAT: Gaussians plus a learned correction. EBM: a learned energy alone. MoG: one Gaussian a class. "
        "SSD: distance to the nearest class. KNN: distance to the k-th nearest point.",
    )  # fmt: skip
    preset = columns[2].segmented_control(
        "Preset", PRESETS, default="modern", required=True, key="preset", bind="query-params",
        help="modern: two networks, 800 steps, noise-contrastive. quick: one, 300 steps. best: eight, 800 steps. "
        "paper: maximum likelihood with 20 Langevin steps, from N(0, I) for the EBM and from the Gaussians for HEAT.",
    )  # fmt: skip
    seed = columns[3].number_input(
        "Seed", 0, 9999, 0, key="seed", bind="query-params", help="The same seed gives the same result."
    )
    early = st.toggle(
        "Stop when KL stops falling", key="early", bind="query-params",
        help="Ends a training once KL to the truth has not come down by 2 % for 5 snapshots, and keeps the closest model.",
    )  # fmt: skip
    return ToyChoice(session.to_link("toy", str(toy)), str(detector), str(preset), int(seed or 0), bool(early))


def step(last: int) -> int:
    """Returns which step of the demo is shown, 1 to `last`: by its link, by two buttons or by the arrow keys."""
    session.from_link("step", [str(number) for number in range(1, last + 1)])
    at = int(st.session_state.setdefault("step", "1"))  # no widget's key: a press that comes as the room is left finds it

    def go(by: int) -> None:
        st.session_state["step"] = str(min(max(int(st.session_state["step"]) + by, 1), last))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Back", shortcut="Left", disabled=at == 1, on_click=go, args=(-1,))
        st.markdown(f"**{at}** of {last}", width="content")
        st.button("Next", shortcut="Right", disabled=at == last, on_click=go, args=(1,), type="primary")
    return int(session.to_link("step", str(at)))


def lab_extras() -> bool:
    """Offers the paper's two figures, each one click. Returns whether three detectors are shown side by side."""
    preset = "paper" if "paper" in PRESETS else "modern"
    with st.container(horizontal=True, vertical_alignment="center"):
        compare = st.toggle(
            "MoG, EBM and HEAT side by side", key="compare", bind="query-params",
            help="The paper's second figure, on any of these toys.",
        )  # fmt: skip
        for label, toy, three in (
            ("Figure 1: a cross, corrected", "cross", False),
            ("Figure 2: nine crosses", "crosses9", True),
        ):
            st.button(
                label, icon=":material/menu_book:", type="tertiary", on_click=_open_figure, args=(toy, preset, three),
                help="Of Lafon et al. 2022, trained here and now.",
            )  # fmt: skip
    return compare


def _open_figure(toy: str, preset: str, compare: bool) -> None:
    st.session_state.update(toy=toy, detector="HEAT", preset=preset, seed=0, early=False, compare=compare)
    for detector in session.COMPARED if compare else ("HEAT",):
        session.start_toy(ToyChoice(toy, detector, preset, 0))


def walk_choice() -> Walk:
    """Returns how chains walk."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        start = st.segmented_control(
            "Start from", STARTS, default="data", required=True, key="start", bind="query-params",
            help="noise: N(0, I), as the paper's EBM starts. data: points of the true density.",
        )  # fmt: skip
        steps = st.number_input("Steps", 1, 2000, 300, 100, key="steps", bind="query-params", width=140)
        size = st.number_input(
            "Step size", 1e-5, 1.0, 1e-3, 1e-3, format="%.5f", key="size", bind="query-params", width=170,
            help="a in z - a ∇E(z) + √(2a) ε. Small: slow. Large: biased, and then it flies off.",
        )  # fmt: skip
    return Walk(int(steps or 300), float(size or 1e-3), str(start))


def landscape_view(extent: float) -> tuple[str, float, Window, tuple[float, float]]:
    """Returns how a landscape is drawn (contour or surface), how far its colours reach, in nats, which
    window, and the point."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        drawn = st.segmented_control(
            "Draw as", ("contour", "surface"), default="contour", required=True, key="draw", bind="query-params"
        )
        limit = st.number_input(
            "Colours reach ± nats", 0.01, 1000.0, 8.0, 1.0, key="reach", bind="query-params", width=180,
            help="The same for all three panels, centred on zero. Small values show a bounded correction.",
        )  # fmt: skip
        zoom = st.segmented_control("Zoom", (1, 2, 4, 8), default=1, required=True, key="zoom", bind="query-params",
                                    format_func=lambda factor: f"{factor} ×", help="Around the point.")  # fmt: skip
        with st.container(horizontal=True, width="content"):
            x = st.number_input("x", -20.0, 20.0, 0.0, 0.1, format="%.3f", key="x", bind="query-params", width=140)
            y = st.number_input("y", -20.0, 20.0, 0.0, 0.1, format="%.3f", key="y", bind="query-params", width=140)
    x, y, half = float(x or 0), float(y or 0), extent / int(zoom or 1)
    centre = (x, y) if zoom != 1 else (0.0, 0.0)
    return str(drawn), float(limit or 8), Window(*centre, half), (x, y)


def kept_share() -> float:
    """Returns the share of ID that the threshold must keep."""
    percent = st.number_input(
        "Keep at least this much of ID (%)", 50.0, 99.9, 95.0, 0.5, format="%.1f", key="keep", bind="query-params", width=300,
        help="The threshold of each detector is the smallest one that keeps this share of the ID test set.",
    )  # fmt: skip
    return float(percent or 95.0) / 100


def scale() -> str:
    """Returns whether scores are shown as they are or as ID percentiles."""
    return str(
        st.segmented_control(
            "Show scores as", ("ID percentile", "raw"), default="raw", required=True, key="scale", bind="query-params",
            help="A percentile says what share of the ID test set scores lower, so that detectors compare.",
        )
    )  # fmt: skip


def drawn_detectors() -> list[str]:
    """Returns up to four detectors whose curves are drawn."""
    drawn = [name for name in ("MSP", "MoG", "HEAT", "Composed") if name in DETECTORS]
    picked = st.multiselect(
        "Detectors drawn", list(DETECTORS), drawn, key="drawn", bind="query-params",
        max_selections=4, help="At most four at once.",
    )  # fmt: skip
    return list(picked)


def drawn_group(groups: Sequence[str]) -> str:
    """Returns a group of OOD sets, or `all`."""
    return str(
        st.segmented_control(
            "OOD", ("all", *groups), default="all", required=True, key="rocgroup", bind="query-params",
            help="all: the mean of the groups. Every set in a group counts the same.",
        )
    )  # fmt: skip


def score_range(names: Sequence[str]) -> tuple[str, float, float] | None:
    """Returns (detector, from, to in ID percentiles) when it is asked for: what a click on a bar does, by keys and exactly."""
    with st.popover("Select by score", icon=":material/filter_alt:"):
        name = st.selectbox("Detector", names, len(names) - 1, key="range-of")
        low = st.number_input("From ID percentile", 0.0, 100.0, 95.0, 1.0, key="range-from")
        high = st.number_input("To ID percentile", 0.0, 100.0, 100.0, 1.0, key="range-to", help="100 takes all beyond, too.")
        asked = st.button("Select")
    return (str(name), float(low or 0.0) / 100, float(100.0 if high is None else high) / 100) if asked else None


def parted() -> tuple[str, str]:
    """Returns two detectors: whose accepting and whose rejecting is looked at. Their order can be turned round."""
    names = list(DETECTORS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox("Accepted by", names, _place("MoG", names), key="accepts", bind="query-params", width=200)
        st.button("Turn round", icon=":material/swap_horiz:", on_click=_turn_round, help="Swaps the two detectors.")
        second = st.selectbox("Rejected by", names, _place("HEAT", names), key="rejects", bind="query-params", width=200)
    return str(first), str(second)


def _place(name: str, names: Sequence[str]) -> int:
    """Returns where a name stands, or the last place."""
    return names.index(name) if name in names else len(names) - 1


def _turn_round() -> None:
    st.session_state["accepts"], st.session_state["rejects"] = st.session_state["rejects"], st.session_state["accepts"]


def counted_sets(titles: Mapping[str, str], counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Returns which sets are looked at; all, if none is picked. Each says how many of how many it has."""
    options = [name for name in titles if counts[name][0]]
    if not options:
        return []
    st.session_state["flipped-sets"] = [name for name in st.session_state.get("flipped-sets", ()) if name in options]
    picked = st.pills(
        "Sets", options, selection_mode="multi", key="flipped-sets", help="All of them, if none is picked.",
        format_func=lambda name: f"{plain(titles[name], 40)}: {counts[name][0]:,} of {counts[name][1]:,}",
    )  # fmt: skip
    return list(picked) or options


def page(count: int, size: int, key: str, of: object) -> slice:
    """Returns which of `count` things are on the page that is shown: the first, where `of` says that it is another list."""
    pages = max(1, -(-count // size))
    if st.session_state.setdefault(f"{key}-of", of) != of:
        st.session_state.update({key: 1, f"{key}-of": of})
    if st.session_state.get(key, 1) > pages:
        st.session_state[key] = pages
    number = st.pagination(pages, key=key, bind="query-params") if pages > 1 else 1
    return slice((number - 1) * size, number * size)


def pictures_first(after: int, titles: Sequence[str]) -> bool:
    """Returns whether a gallery begins with what it has pictures of, and says how many come after, of which sets."""
    first = st.toggle("Those with pictures first", True, key="pictured", bind="query-params")
    if first:
        st.caption(f"{after:,} come after them: there are no pictures at hand of {plain(', '.join(titles), 200)}.")
    return first


def data_choice() -> None:
    """Offers the server's packs by name, an upload, and the way back."""
    offered = session.packs()
    if offered:
        st.selectbox(
            "A pack on this server", list(offered), key="pack", bind="query-params", on_change=session.drop_upload,
            help=f"Folders that whoever runs the server has put into assets/packs or named in {session.ROOTS}. No other folder "
            "of the server can be opened from here.",
        )  # fmt: skip
    st.file_uploader(
        "Arrays of your own", type="npz", key="arrays", max_upload_size=200, on_change=_take_arrays,
        help="An .npz, as numpy.savez writes it. It is yours alone and goes when this session ends.",
    )  # fmt: skip
    st.caption(
        "`train_z` (N, d), `train_y` (N,), `test_z`, and OOD sets `near_NAME`, `mid_NAME`, `far_NAME`; `weight` and `bias` of "
        "the classifier's last layer if MSP and Energy are wanted; `val_z`, `pseudo_NAME` if there are."
    )
    if "upload_error" in st.session_state:
        st.error(plain(st.session_state["upload_error"]), icon=":material/error:")
    if session.is_own():
        st.button("Back to the server's data", icon=":material/undo:", on_click=session.drop_upload)


def _take_arrays() -> None:
    file = st.session_state["arrays"]
    if file is None:
        session.take_back()
    else:
        session.upload(file, file.name)


def chips() -> None:
    """Shows what is selected: a chip a part, each removed by a click, and one button that clears all; nothing if nothing is."""
    place = st.container()  # always there: what comes below keeps its place, and so its state, when something is selected
    if session.selection():
        with place:
            _chips()


def _chips() -> None:
    chosen = session.selection()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Selected: {len(chosen):,}", width="content")
        for part in chosen.parts:
            st.button(
                f"{plain(part.label, 60)}: {len(part):,}", icon=":material/close:", key=f"chip-{part.origin}",
                on_click=session.deselect, args=(part.origin,), help="Take this out of the selection.",
            )  # fmt: skip
        st.button("Clear the selection", type="tertiary", key="clear-selection", on_click=session.clear_selection)
    if not len(chosen) and len(chosen.parts) > 1:
        st.caption("Nothing is in all of these at once; take one out.")


def own_picture() -> UploadedFile | None:
    """Returns a picture that was brought, if there is one."""
    return st.file_uploader(
        "A picture", ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"), key="picture", max_upload_size=25,
        help="It stays in this session. Its centred square is shrunk to what the network sees.",
    )  # fmt: skip


# -- the map -----------------------------------------------------------------------------------------------------------

COLOURED = ("dataset", "class", "score", "correction")
ORDERS = ("most OOD", "least OOD")


@dataclass(frozen=True)
class MapChoice:
    """What the Feature map is set to.

    colour: what colours mean, one of `COLOURED`.
    scorer: the detector whose scores are looked at.
    method: of laying out.
    shown: names of the sets that are drawn.
    order: of the gallery, one of `ORDERS`.
    """

    colour: str
    scorer: str
    method: str
    shown: tuple[str, ...]
    order: str


def map_choice(names: Sequence[str], titles: Mapping[str, str], methods: Sequence[str], own: str, key: str) -> MapChoice:
    """Returns what is drawn on the map.

    Args:
        names: of the detectors.
        titles: {name: title} of the sets.
        methods: of laying out, and `own`, the one that the data comes with.
        key: of the data; which sets are shown, and the window, do not outlive them.
    """
    if st.session_state.get("map_data", key) != key:
        for name in ("shown", "layout", "window"):
            st.session_state.pop(name, None)
            st.query_params.pop(name, None)
    st.session_state["map_data"] = key
    if "shown" not in st.session_state and (sets := session.region_sets()) is not None:  # they win over the link's own
        st.session_state["shown"] = [name for name in titles if name in sets]
    for name, offered, what in (("scorer", names, "detector"), ("colour", COLOURED, "colour")):
        _explain(name, offered, what)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        colour = st.selectbox(
            "Colour by", COLOURED, key="colour", bind="query-params", width=160,
            help="score: of the detector beside it. correction: E_θ alone, what HEAT adds to its Gaussians.",
        )  # fmt: skip
        scorer = st.selectbox(
            "Detector", names, names.index("HEAT") if "HEAT" in names else 0, key="scorer", bind="query-params", width=160,
            help="Whose scores are drawn, sorted and compared.",
        )  # fmt: skip
        order = st.segmented_control("Gallery", ORDERS, default=ORDERS[0], required=True, key="order", bind="query-params")
        method = st.segmented_control(
            "Layout", methods, default=own, required=True, key="layout", bind="query-params", format_func=str.upper,
            help="UMAP keeps neighbours together. PCA keeps the two directions in which features vary most.",
        )  # fmt: skip
        st.text_input(
            "Look at an image", key="typed-item", on_change=_typed_item, placeholder="cifar10/test/123", width=210,
            help="As the inspector writes it: its dataset, split and number; of data without, its set and row.",
        )  # fmt: skip
    shown = st.pills(
        "Sets on the map", list(titles), selection_mode="multi", default=list(titles), key="shown", bind="query-params",
        format_func=lambda name: plain(titles[name], 40), help="A set that is switched off is never selected on the map.",
    )  # fmt: skip
    return MapChoice(str(colour), str(scorer), str(method), tuple(name for name in titles if name in shown), str(order))


def _typed_item() -> None:
    session.look_at(st.session_state["typed-item"].strip())


# -- the threshold -----------------------------------------------------------------------------------------------------

BY_HAND = "By hand"
TITLES = {objective.title: objective for objective in OBJECTIVES.values()}
CHOOSERS = (*TITLES, ClassConformal.title, BY_HAND)


@dataclass(frozen=True)
class LineChoice:
    """What the Threshold lab is set to.

    detector, other: their names; `other` is empty if nothing is compared.
    sets: file names of the OOD sets that count.
    objective: what chooses the cut; None if a hand does.
    """

    detector: str
    other: str
    sets: tuple[str, ...]
    percentiles: bool
    traffic: Traffic
    objective: Objective | ClassConformal | None


def line_choice(names: Sequence[str], titles: Mapping[str, str], key: str) -> LineChoice:
    """Returns what to draw a line for, and what is to choose it.

    Args:
        names: of the detectors.
        titles: {file name: title} of the OOD sets.
        key: of the data; a line set by hand does not outlive them.
    """
    if st.session_state.get("line_data", key) != key:
        st.session_state["sets"] = list(titles)
        if st.session_state.get("objective") == BY_HAND:
            st.session_state["objective"] = Keep.title
    st.session_state["line_data"] = key
    for name, offered, what in (("scorer", names, "detector"), ("against", names, "detector"), ("objective", CHOOSERS, "rule")):
        _explain(name, offered, what)
    unique = len(set(titles.values())) == len(titles)
    columns = st.columns([2, 2, 5, 2], vertical_alignment="bottom")
    detector = columns[0].selectbox(
        "Detector", names, names.index("HEAT") if "HEAT" in names else 0, key="scorer", bind="query-params",
        on_change=_back_to_a_rule, help="Whose scores the line cuts. A line set by hand is carried over by the ID it keeps.",
    )  # fmt: skip
    others = ("", *(name for name in names if name != detector))
    other = columns[1].selectbox(
        "Compare with", others, key="against", bind="query-params", format_func=lambda name: name or "nothing",
    )  # fmt: skip
    sets = columns[2].multiselect(
        "OOD sets that count", list(titles), list(titles), key="sets", bind="query-params",
        format_func=lambda name: titles[name] if unique else name, help="Every group counts the same, and every set in it.",
    )  # fmt: skip
    with columns[3]:
        percentiles = scale() != "raw"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rules = st.container(horizontal=True, vertical_alignment="bottom", width="content")
        mixture = traffic()
        with rules:
            rule = objective(mixture)
    return LineChoice(str(detector), str(other or ""), tuple(sets), percentiles, mixture, rule)


def traffic() -> Traffic:
    """Returns what arrives in use, and what mistakes cost."""
    with st.popover("Prevalence and costs", icon=":material/balance:"):
        prevalence = st.number_input(
            "OOD among inputs (%)", 0.0, 100.0, 10.0, 1.0, key="prevalence", bind="query-params",
            help="How much of what arrives in use you expect to be OOD. It decides the counts, F1, costs and flagged share.",
        )  # fmt: skip
        miss = st.number_input("Cost of an OOD input missed", 0.0, 1e6, 10.0, key="miss", bind="query-params")
        alarm = st.number_input("Cost of an ID input flagged", 0.0, 1e6, 1.0, key="alarm", bind="query-params")
    return Traffic(float(prevalence or 0) / 100, float(miss or 0), float(alarm or 0))


def objective(mixture: Traffic) -> Objective | ClassConformal | None:
    """Returns what chooses the cut, with its parameter; None for a hand."""
    title = st.selectbox(
        "What chooses the line", CHOOSERS, key="objective", bind="query-params", width=320,
        help="A rule, or you: drag the line, move it with the arrow keys, or type where it is.",
    )  # fmt: skip
    kind = {**TITLES, ClassConformal.title: ClassConformal}.get(str(title))
    if kind in (Keep, Conformal, ClassConformal):
        keep = st.number_input("ID to keep (%)", 50.0, 99.9, 95.0, 0.5, "%.1f", key="keep", bind="query-params", width=200)
        return kind(float(keep or 95.0) / 100)
    if kind is FlagAtMost:
        flag = st.number_input("Flagged at most (%)", 0.1, 99.9, 10.0, 1.0, "%.1f", key="flag", bind="query-params", width=200)
        return FlagAtMost(float(flag or 10.0) / 100, mixture)
    if kind in (F1, LeastCost):
        return kind(mixture)
    return None if kind is None else kind()


def neighbours_of_the_line() -> int:
    """Returns how many images around the line are looked at."""
    count = st.number_input("Images nearest the line", 6, 5000, 24, 6, key="around", bind="query-params", width=200)
    return int(count or 24)


def typed_line(proposed: float | None, otherwise: float) -> float:
    """Returns where the line is: where a rule puts it (`proposed`), or else where a hand did.

    Args:
        proposed: the rule's cut, if a rule chooses.
        otherwise: the cut if nothing was set by hand yet.
    """
    held = st.session_state.get("cut")
    if proposed is not None:
        st.session_state["cut"] = proposed
    step = 10.0 ** (math.floor(math.log10(abs(proposed or held or 1.0))) - 2)
    cut = st.number_input(
        "The line is at", value=None, step=step, format="%.6g", key="cut", bind="query-params",
        placeholder="a score", width=320, on_change=_by_hand,
        help="Type a score to set the line exactly. Above it means out-of-distribution.",
    )  # fmt: skip
    return otherwise if cut is None else float(cut)


def drag_line(cut: float) -> None:
    """Sets the line where it was let go."""
    st.session_state["cut"] = cut
    _by_hand()


def _by_hand() -> None:
    st.session_state["objective"] = BY_HAND


def _back_to_a_rule() -> None:
    """A line set by hand becomes the rule that keeps as much ID as it did."""
    if st.session_state.get("objective") == BY_HAND:
        st.session_state["objective"] = Keep.title
        st.session_state["keep"] = min(max(round(100 * st.session_state.get("line_kept", 0.95), 1), 50.0), 99.9)

"""What the words on the pages mean, each said once, in plain terms."""

from __future__ import annotations

from collections.abc import Mapping

TERMS: Mapping[str, str] = {
    "In-distribution (ID)": (
        "Like the data that the classifier was trained on. Here: test images of the same kind."
    ),
    "Out-of-distribution (OOD)": (
        "Unlike it. A classifier has no right answer for such an input, and answers all the same."
    ),
    "Near, mid, far": (
        "How unlike: near OOD shows similar things, far OOD is of another world, such as "
        "digits or textures."
    ),
    "Pack": (
        "A folder with what a classifier made of images: features, labels, its last layer, and "
        "a card that says which."
    ),
    "Features": (
        "The numbers that a classifier makes of an image just before it decides on a class. A "
        "point in space, z."
    ),
    "Two passes": (
        "Features of some packs are means over an image and its mirror image, so that left and "
        "right do not matter. The network looks twice; for published figures it looks once."
    ),
    "Logits": (
        "What the classifier's last layer makes of features: one number a class, the largest wins."
    ),
    "Softmax": (
        "Turns logits into shares that add up to 100 %. They compare classes with each other, "
        "so they are large for one class even where none fits."
    ),
    "Free energy": (
        "The energy of a classifier: -T logsumexp(f / T) of its logits f. log max softmax is the "
        "free energy plus the largest logit."
    ),
    "Auxiliary OOD": (
        "OOD inputs that a classifier sees in fine-tuning, apart from those that it is tested on."
    ),
    "Margins, m_in and m_out": (
        "Energy-bounded learning pushes the energies of ID below m_in and those of auxiliary OOD "
        "above m_out; what lies beyond its margin costs nothing more."
    ),
    "Rank correlation": (
        "How far two orders agree: +1 is the same order, 0 none, -1 the reverse (Spearman)."
    ),
    "Detector": "Anything that gives an input a score, larger for what is stranger.",
    "Energy": (
        "A number for every place, low where data is common and high where it is rare; the "
        "detector's score. Density is proportional to exp(-energy)."
    ),
    "Nat": "The unit of energy: one nat more means e = 2.7 times less probable.",
    "Prior": (
        "The simple term of HEAT's energy, known in closed form. In the plane, and for HEAT-GMM, "
        "it is one Gaussian a class (MoG); on real features HEAT adds up all that have data, on "
        "one scale: Gaussians of two views, the classifier's energy, an early layer."
    ),
    "Correction": "The learned term of HEAT's energy: what to add to the prior where it is wrong.",
    "Temperature": (
        "What an energy is divided by; T_G is the prior's. The higher it is, the less the "
        "prior has to say."
    ),
    "HEAT": (
        "Prior and correction added up: E = P / T_G + E_θ (Lafon et al. 2022). HEAT-GMM has the "
        "MoG alone for its prior, HEAT-EL the classifier's energy (Energy) alone."
    ),
    "EBM": "An energy learned alone, without a prior.",
    "MoG, SSD, KNN": (
        "Energies with a formula: Gaussians, distance to the nearest class (since 2025 called "
        "Mahalanobis++, too), distance to the k-th nearest image."
    ),
    "Closed form": (
        "A detector with a formula, fitted in a second or less. What it leaves open, such as a "
        "percentile, is chosen at fit on ID data alone."
    ),
    "Approach": (
        "What a detector's score is made of: of the logits; of changed features (clipped, scaled, "
        "pruned) before the logits; of distances to images, classes, borders; of Gaussians; of "
        "subspaces; or learned."
    ),
    "MSP, ODIN": (
        "Scores of the classifier's own doubt: its largest softmax share, as it is or after a "
        "nudge to the image."
    ),
    "Threshold": "The line: what scores above it is called OOD.",
    "p-value": (
        "How rarely an ID input scores as high, ranked among ID inputs that came before. While "
        "nothing changes, p-values are spread evenly between 0 and 1."
    ),
    "Martingale": (
        "The wealth of a bettor who bets that p-values become small. While nothing changes nobody "
        "can win in the long run: it reaches 20 in at most 5 of 100 streams, however long."
    ),
    "CUSUM": (
        "The wealth of a bettor who began at the best moment so far. It notices late changes soon, "
        "and errs once in a stated number of rows, on average."
    ),
    "FPR95 (ID+)": (
        "The share of OOD that passes where the line keeps 95 % of ID. Smaller is better."
    ),
    "FPR95 (OOD+)": (
        "The share of ID that is lost where the line catches 95 % of OOD. Another number; "
        "papers mix the two up."
    ),
    "AUROC": (
        "How often a random OOD input scores above a random ID input: 50 % is guessing, 100 % "
        "perfect."
    ),
    "KL, total variation": (
        "How far a model is from the truth, in the plane: in nats, and as the share of "
        "probability that lies in the wrong place. 0 is the truth itself."
    ),
    "Mode": (
        "A heap of data apart, such as one of nine crosses. A model that gives it less than "
        "half of its share has lost it."
    ),
    "Pseudo-OOD": (
        "ID images destroyed on purpose (jigsaws, noise, warps). They teach a correction where "
        "ID ends, so no OOD image is needed."
    ),
    "Langevin chain": (
        "A point that walks downhill on the energy with noise; chains that cross modes sample "
        "all of them."
    ),
}


def definitions() -> str:
    """Returns all terms as a Markdown list."""
    return "\n".join(f"- **{term}**: {meaning}" for term, meaning in TERMS.items())

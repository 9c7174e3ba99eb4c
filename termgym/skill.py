"""The primitive skills that families compose, by dimension: what one can ask for, as `skills=checksums,permissions`.

The dimensions are those of the Nemotron-Terminal paper (section 4.2), and one of ours: interaction. A family that needs
another skill adds it here.
"""

from collections.abc import Iterable

from termgym.errors import UnknownName

DIMENSIONS: dict[str, str] = {
    "algorithms": """
        automata backtracking bit-manipulation combinatorics constraint-solving counting dynamic-programming game-trees
        geometry graph-search greedy hashing interval-arithmetic modular-arithmetic number-theory recursion
        sat-solving scheduling searching shortest-paths simulation sorting string-matching topological-order
    """,
    "systems": """
        archives checksums compression cron dates disk-usage environment-variables exit-codes file-descriptors
        file-trees globs hard-links log-rotation make ownership permissions pipelines ports processes quoting
        redirection services shell-loops shell-scripting signals symlinks sysctl temporary-files users
    """,
    "data": """
        aggregation anomaly-detection awk binary-formats character-sets configuration-files csv data-cleaning
        deduplication diff fixed-width-records html-parsing ini joins jq json jsonl log-formats markdown nested-data
        normalization pivoting record-linkage recursive-queries regular-expressions reshaping sampling schema-design
        sed sql sql-views streaming subqueries templating text-tables time-series transactions unicode units
        validation window-functions xml
    """,
    "mathematics": """
        bayesian-inference bootstrap calculus calibration classification clustering confidence-intervals
        cross-validation curve-fitting decision-trees differential-equations error-propagation
        feature-engineering fourier-transform gradient-descent hypothesis-testing interpolation language-models
        linear-algebra linear-programming markov-chains matrix-factorization monte-carlo naive-bayes
        nearest-neighbours neural-networks numerical-integration numerical-stability optimization polynomials
        probability regression regularization reinforcement-learning root-finding signal-processing statistics
    """,
    "testing": """
        benchmarking bisection debugging fuzzing log-analysis profiling property-testing reproduction
        root-cause-analysis test-coverage tracing unit-tests
    """,
    "software": """
        api-design bash build-systems code-generation code-search concurrency dependency-resolution documentation
        git-branches git-cherry-pick git-history git-rebase git-reflog interpreters linking lock-files migration
        package-metadata parsing python refactoring release-notes semantic-versions vendoring
    """,
    "security": """
        access-control authentication base64 certificates cryptography encoding forensics hardening hmac
        http input-validation integrity intrusion-detection key-management least-privilege networking
        password-hashing redaction secrets signatures vulnerability-analysis
    """,
    "interaction": """
        curses dialogs ed forms keystrokes less man-pages menus nano pagers prompts repl sqlite-shell
        state-tracking tmux vi
    """,
}
SKILLS: dict[str, str] = {name: dimension for dimension, names in DIMENSIONS.items() for name in names.split()}
"""Name -> dimension."""


def check(names: Iterable[str]) -> None:
    """Refuse a name that is no skill.

    Raises:
        UnknownName: The message suggests what was meant.
    """
    for name in names:
        if name not in SKILLS:
            raise UnknownName("skill", name, SKILLS)

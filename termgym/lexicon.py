"""Words that families name things by. A family draws from these, by its `Random`, what a reader expects to vary.

Lists only ever grow at their ends: a family whose draw changes has to raise its version.
"""

from random import Random

GIVEN = """
    Adaeze Amara Anouk Arvid Beatriz Bela Boris Chidi Chloe Dara Dario Edda Elif Emeka Farid Fenna Fergus Goran Greta
    Hana Hugo Imre Ines Jonas Jorn Kavita Keiko Lars Leila Liam Mei Mina Niko Noor Olga Otto Pavel Pilar Quentin Rosa
    Runa Samir Sanna Tariq Tilda Uma Viktor Wanda Yusuf Zofia
""".split()
FAMILY_NAMES = """
    Abel Adeyemi Bauer Castro Costa Dietz Egan Farkas Frost Gruber Hansen Ibarra Ito Jensen Kovac Kumar Lange Lindqvist
    Marsh Moreau Moser Nakata Novak Okafor Orlov Peretz Quist Rao Rossi Sato Silva Szabo Tanaka Thorsen Ueda Vance Weber
    Yilmaz Zhou
""".split()
TOWNS = """
    Aarhus Bergen Braga Cork Delft Espoo Faro Ghent Graz Haifa Izmir Jena Kyoto Leeds Linz Lugano Malmo Nantes Odense
    Porto Quito Riga Sevilla Tartu Turku Umea Utrecht Varna Wels Xanthi York Zadar
""".split()
SERVICES = """
    archiver batchq billing broker cachet courier dispatch fernweh frontdesk gateway gritd indexer intake ledgerd
    lockbox lookout mailsweep mirror notifier oxbow pagecast planner relayd reporter rosterd scheduler searchd signup
    spooler stockroom tallyman tilestore tracker uploader vaultd watcher
""".split()
HOSTS = (
    "alder ash aspen beech birch cedar elm fir hazel hemlock holly juniper larch maple oak pine rowan willow".split()
)
ITEMS = """
    anvil basket bellows bobbin bracket bucket candle chisel clamp coil crate dowel easel funnel gasket gimlet hammer
    hinge jug kettle ladder lantern lathe lever mallet needle nozzle pulley quill rivet saddle shovel spindle sprocket
    thimble trowel valve washer wedge winch
""".split()
PLACES = """
    annex atrium attic barn bay cellar chapel corridor courtyard depot dock foyer gallery garden granary hall harbour
    kiln kitchen larder library loft mill nursery office orchard pantry pier quarry sawmill shed stable studio tower
    vault wharf workshop yard
""".split()
TOPICS = """
    access alerts assets audit backups budget cache catalog clients contracts delivery exports feedback fleet forecast
    imports inventory invoices leads members metrics orders payments payroll permits plans quotas rates records refunds
    rentals reports returns reviews rosters sales shifts stock surveys tickets tours trials usage visits
""".split()
ADJECTIVES = """
    amber blunt brisk calm coarse crisp damp dusty early faint fierce gentle glossy hollow humble idle keen late lively
    mellow narrow nimble pale plain quiet rapid ripe rough sharp silent slender smooth steady stern stout swift tidy
    vivid warm wary
""".split()
COLOURS = """
    azure beige black brown coral cyan gold green grey indigo ivory jade lilac lime navy ochre olive pink plum red rust
    teal white
""".split()
ROOTS = ("/app", "/app/work", "/app/data", "/app/project", "/srv/{}", "/opt/{}", "/app/{}", "/var/lib/{}")
"""Folders of a service, whose name fills the braces."""


def person(rng: Random) -> str:
    """A full name."""
    return f"{rng.choice(GIVEN)} {rng.choice(FAMILY_NAMES)}"


def people(rng: Random, count: int) -> list[str]:
    """Full names, up to 30, no two with the same given name or the same family name."""
    return [" ".join(names) for names in zip(rng.sample(GIVEN, count), rng.sample(FAMILY_NAMES, count), strict=True)]


def root(rng: Random, service: str) -> str:
    """The folder of a service."""
    return rng.choice(ROOTS).format(service)


def host(rng: Random) -> str:
    """A host's name, with a number."""
    return f"{rng.choice(HOSTS)}{rng.randint(1, 29):02}"


def token(rng: Random, length: int = 12) -> str:
    """Lower-case letters and digits without look-alikes, the first a letter."""
    return rng.choice("abcdefghjkmnpqrstuvwxyz") + "".join(rng.choices("abcdefghjkmnpqrstuvwxyz23456789", k=length - 1))

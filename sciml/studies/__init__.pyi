from .engine import DaskEngine as DaskEngine
from .engine import Engine as Engine
from .engine import LocalEngine as LocalEngine
from .engine import SlurmEngine as SlurmEngine
from .file import Contender as Contender
from .file import Study as Study
from .protocol import run as run

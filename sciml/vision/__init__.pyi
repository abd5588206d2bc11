from .data import DigitsData as DigitsData
from .task import VisionTask as VisionTask
from .vit import ViT as ViT

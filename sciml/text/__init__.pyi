from .data import TextData as TextData
from .gpt import GPT as GPT
from .task import TextTask as TextTask

"""A network for `TerminalGrid-v0`: from the screen, the cursor and the instruction to a state and how good each key is.

It works on cells that show something, not on the screen's area: a large terminal costs little more than a small one. A
cell is known by the characters around it in its row (a convolution), and attends to the places of the instruction
that are like it. Both are encoded by the same weights, so that equal words are alike before anything is learned. A row
says what its cells say together. To type a character that is shown, the network can point at a cell that shows it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from termgym.grid import KEYS

SYMBOLS = 192
"""Kinds of characters: the 128 of ASCII, and 64 that all others share."""
WIDTH = 5
"""Characters of a cell's surroundings, itself in their middle."""
PLACE = 5
ATTRIBUTES = 16
FACTS = PLACE + ATTRIBUTES
"""Numbers that are known of a cell beside its surroundings."""
SHARPNESS = 10.0
LIKE = 0.7
"""At the start unlike words are about 0.5 alike, and equal ones 0.9."""
PRINTABLE = ord("~") - ord(" ") + 1
"""How many of `KEYS` are ASCII's characters; they are the first, from the blank on."""


class ScreenNetwork(nn.Module):
    """Batched observations of `TerminalGrid-v0` to a state, (batch, size), and logits of `KEYS`, (batch, keys)."""

    def __init__(self, cells: int = 256, embedding: int = 16, words: int = 32, size: int = 64) -> None:
        """Make it.

        Args:
            cells: How many cells it sees: of those that show something the nearest to the cursor, in reading order.
            embedding: Numbers that a character is known by.
            words: Numbers that a place's surroundings are known by.
            size: Numbers that a cell, a row, and all of it are known by.
        """
        super().__init__()
        self.cells, self.size = cells, size
        self.characters = nn.Embedding(SYMBOLS, embedding, padding_idx=0)
        self.around = nn.Linear(WIDTH * embedding, words, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.said = nn.Linear(words, words)
        self.wish = nn.Linear(words, size)
        self.surroundings, self.found = nn.LayerNorm(words), nn.LayerNorm(words)
        self.cell = layer(2 * words + 1 + FACTS, size)
        self.row = layer(size, size)
        self.whole = layer(4 * size, size)
        self.aims = nn.ModuleList(nn.Linear(size, size) for _ in range(3))
        self.score = nn.Sequential(nn.LayerNorm(size), nn.ReLU(), nn.Linear(size, 1))
        self.keys = nn.Linear(size, len(KEYS))
        nn.init.zeros_(self.keys.weight)
        nn.init.zeros_(self.keys.bias)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The state, and the logits."""
        chars, cursor = observation["chars"], observation["cursor"].long()
        asked, mask = self._asked(observation["instruction"])
        at = nearest(chars, cursor, self.cells)
        code = chars.flatten(1).gather(1, at)
        lit, row = shown(code), at // chars.shape[2]
        facts = torch.cat([_place(at, cursor, chars.shape[2]), _bits(observation["attributes"], at)], 2)
        cells = self._cells(self._around(windows(chars, at)), asked, mask, facts) * lit[..., None]
        rows = self._rows(cells, row, chars.shape[1])
        state = self._state(rows, cursor[:, 0], asked, mask)
        return state, self.keys(state) + self._pointed(cells, rows, row, state, code * lit)

    def _around(self, codes: Tensor) -> Tensor:
        """Features of places, (..., words), by the code points around each, (..., WIDTH)."""
        return self.around(self.characters(symbols(codes)).flatten(-2))

    def _asked(self, instruction: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each place of the instruction, (batch, length, words), and where there are any."""
        mask = instruction != 0
        length = max(1, int(mask.any(0).sum()))
        padded = functional.pad(instruction[:, :length], (WIDTH // 2, WIDTH // 2))
        return self._around(padded.unfold(1, WIDTH, 1)), mask[:, :length]

    def _cells(self, around: Tensor, asked: Tensor, mask: Tensor, facts: Tensor) -> Tensor:
        """What cells are known by, (batch, cells, size): attention to the instruction, and how alike it is at best."""
        none = (~mask).to(around.dtype)[:, None] * -10 * self.sharpness
        keys = functional.normalize(asked, dim=2) * self.sharpness
        alike = torch.baddbmm(none, functional.normalize(around, dim=2), keys.mT)
        best = 10 * (alike.amax(2, keepdim=True) / self.sharpness - LIKE)
        found = alike.softmax(2) @ self.said(functional.relu(asked))
        return self.cell(torch.cat([self.surroundings(around), self.found(found), best, facts], 2))

    def _rows(self, cells: Tensor, row: Tensor, rows: int) -> Tensor:
        """What rows are known by, (batch, rows, size)."""
        none = cells.new_zeros(len(cells), rows, self.size)
        return self.row(none.scatter_reduce(1, row[..., None].expand_as(cells), cells, "amax"))

    def _state(self, rows: Tensor, cursor: Tensor, asked: Tensor, mask: Tensor) -> Tensor:
        here = rows[torch.arange(len(rows), device=rows.device), cursor]
        wish = functional.relu(self.wish(functional.relu(asked)).masked_fill(~mask[..., None], -1).amax(1))
        return self.whole(torch.cat([here, rows.amax(1), 4 * rows.mean(1), wish], 1))

    def _pointed(self, cells: Tensor, rows: Tensor, row: Tensor, state: Tensor, code: Tensor) -> Tensor:
        """What pointing adds to the logits: for each character the sum over the cells that show it."""
        of_cell, of_row, of_whole = self.aims
        common = of_row(rows) + of_whole(state)[:, None]
        score = self.score(of_cell(cells) + common.gather(1, row[..., None].expand_as(cells))).squeeze(2)
        weight = score.clamp(max=15).exp() * ((code > ord(" ")) & (code <= ord("~")))
        none = weight.new_zeros(len(weight), len(KEYS))
        return none.scatter_add(1, (code.long() - ord(" ")).clamp(0, PRINTABLE - 1), weight).log1p()


def layer(inputs: int, outputs: int) -> nn.Sequential:
    """Outputs of about 1, whatever the inputs' scale: what is told apart early is learned early."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU())


def symbols(codes: Tensor) -> Tensor:
    """Code points as kinds of characters, from 0 for none to SYMBOLS - 1."""
    codes = codes.long()
    return torch.where(codes < 128, codes, 128 + codes % (SYMBOLS - 128))


def shown(chars: Tensor) -> Tensor:
    """Whether cells show something: no blank, and no second half."""
    return (chars != 0) & (chars != ord(" "))


def nearest(chars: Tensor, cursor: Tensor, count: int) -> Tensor:
    """Numbers of cells, (batch, count): those that show something and are nearest to the cursor; then any others."""
    _, rows, cols = chars.shape
    place = torch.arange(rows * cols, device=chars.device)
    far = (place - (cursor[:, :1] * cols + cursor[:, 1:])).abs() + rows * cols * ~shown(chars).flatten(1)
    return far.topk(min(count, rows * cols), largest=False).indices


def windows(chars: Tensor, at: Tensor) -> Tensor:
    """The code points around cells in their rows, (batch, cells, WIDTH); 0 beyond the edge."""
    padded = functional.pad(chars, (WIDTH // 2, WIDTH // 2)).flatten(1)
    begin = at + at // chars.shape[2] * (WIDTH - 1)
    places = begin[..., None] + torch.arange(WIDTH, device=chars.device)
    return padded.gather(1, places.flatten(1)).view_as(places)


def _place(at: Tensor, cursor: Tensor, cols: int) -> Tensor:
    """Where cells are from the cursor, (batch, cells, PLACE)."""
    down, right = at // cols - cursor[:, :1], at % cols - cursor[:, 1:]
    flags = [down == 0, (down == 0) & (right < 0), at % cols == 0]
    return torch.stack([*(flag.float() for flag in flags), torch.tanh(down / 4), torch.tanh(right / 16)], 2)


def _bits(attributes: Tensor, at: Tensor) -> Tensor:
    """The bits of cells' attributes, (batch, cells, ATTRIBUTES)."""
    numbers = attributes.to(torch.int32).flatten(1).gather(1, at)
    return (numbers[..., None] >> torch.arange(ATTRIBUTES, device=at.device) & 1).float()

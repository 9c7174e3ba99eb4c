"""Telling: what the screen came to, in one or two sentences, from a reading of it."""

from textwrap import shorten

from termgym.teaching import phrases
from termgym.teaching.intent import Intent
from termgym.teaching.reading import Reading
from termgym.teaching.voice import Voice, code, listed

_LINE, _SENTENCE = 70, 140


def first(instruction: str, reading: Reading, voice: Voice) -> str:
    """Of the first screen, and what the task asks for."""
    words = voice.pick(phrases.FIRST_OPENINGS).format(_sentence(instruction))
    if not reading.at_prompt:
        return f"{words} The screen is what I begin with."
    return f"{words} {voice.pick(phrases.FIRST_CLOSINGS).format(_where(reading))}"


def next_step(instruction: str, voice: Voice) -> str:
    """Of an instruction that came later."""
    return voice.pick(phrases.STEP_OPENINGS).format(_sentence(instruction))


def seen(reading: Reading, typed: str, voice: Voice) -> str:
    """Of the screen after `typed`."""
    if reading.full_screen:
        return _full(reading, voice)
    command = _command(typed)
    words = [f"{_result(reading, command, voice)}."]
    if reading.at_prompt:
        words.append(voice.pick(phrases.READY).format(_where(reading)))
    elif reading.last:
        words.append(f"{voice.pick(phrases.WAITS).format(last=code(reading.last, _LINE))}.")
    return " ".join(_upper(word) for word in words)


def done(intents: list[Intent], reading: Reading, typed: str, voice: Voice) -> str:
    """Of the whole work, by what was typed and what its end shows."""
    looks = bool(intents) and intents[-1].looks
    ways = phrases.DONE_CHECKED if looks and not reading.error else phrases.DONE_UNCHECKED
    saw = _saw(reading, voice)
    ending = voice.pick(ways).format(cmd=_command(typed), saw=saw)
    return f"{voice.pick(phrases.DONE_OPENINGS).format(_summary(intents))} {_upper(ending)}"


def confirmed(reading: Reading, voice: Voice) -> str:
    """Of the question whether it is really done."""
    words = voice.pick(phrases.CONFIRM_OPENINGS)
    if reading.at_prompt:
        return f"{words} Nothing runs: {_lower(voice.pick(phrases.READY).format(_where(reading)))}"
    return f"{words} The screen ends with {code(reading.last, _LINE)}." if reading.last else words


def _sentence(text: str) -> str:
    plain = " ".join(text.split())
    end = next((at for at in range(20, len(plain)) if plain[at - 1] in ".?!:" and plain[at] == " "), len(plain))
    line = shorten(plain[:end].rstrip(":"), _SENTENCE, placeholder="...")
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _where(reading: Reading) -> str:
    return reading.folder or "its folder"


def _command(typed: str) -> str:
    return code(typed, 50) if typed.strip() else "Enter" if typed == "\n" else "the program"


def _full(reading: Reading, voice: Voice) -> str:
    words = voice.pick(phrases.FULL)
    if reading.last:
        words += f"; {voice.pick(phrases.BOTTOM).format(last=code(' '.join(reading.last.split()), _LINE))}"
    if line := _excerpt(reading.lines[:-1], voice):
        words += f", and {voice.pick(phrases.ABOVE).format(line=line)}"
    return f"{words}."


def _result(reading: Reading, command: str, voice: Voice) -> str:
    """What the last command came to."""
    if reading.error:
        return voice.pick(phrases.FAILED).format(cmd=command, error=code(reading.error, 100))
    if reading.kind != "output":
        return voice.pick(phrases.LEFT if reading.at_prompt else phrases.RUNNING).format(cmd=command)
    if reading.mixed:
        return voice.pick(phrases.MIXED).format(cmd=command) + _more(reading, voice)
    if reading.cut:
        return voice.pick(phrases.CUT).format(cmd=command) + _more(reading, voice)
    if reading.lines:
        count = _count(len(reading.lines))
        return voice.pick(phrases.PRINTED).format(cmd=command, n=count) + _more(reading, voice)
    other = phrases.TYPED if reading.last else phrases.RUNNING
    return voice.pick(phrases.SILENT if reading.at_prompt else other).format(cmd=command)


def _more(reading: Reading, voice: Voice) -> str:
    """A word of what was printed, to stand behind what was said."""
    if names := _names(reading.lines):
        chosen = sorted(voice.rng.sample(names, min(3, len(names))))
        return f"; {voice.pick(phrases.NAMES).format(names=listed([code(name) for name in chosen]))}"
    ways = phrases.ONLY if len(reading.lines) == 1 and not reading.cut else phrases.EXCERPTS
    line = _excerpt(reading.lines, voice)
    return f"; {voice.pick(ways).format(line=line)}" if line else ""


def _saw(reading: Reading, voice: Voice) -> str:
    if reading.error:
        return f"it shows {code(reading.error, 100)}"
    if reading.kind != "output" or reading.cut or reading.mixed:
        return "the screen ends at the prompt" if reading.at_prompt else "the screen has its output"
    if not reading.lines:
        return "it printed nothing"
    return f"it shows {_count(len(reading.lines))}{_more(reading, voice)}"


def _summary(intents: list[Intent]) -> str:
    files = list(dict.fromkeys(file for intent in intents for file in intent.writes))
    if files:
        return f"{len(intents)} commands, which wrote {listed(files, 4)}"
    last = intents[-1].words if intents else "look"
    return f"{len(intents)} commands, the last of them to {last}" if len(intents) > 1 else last


def _excerpt(lines: tuple[str, ...], voice: Voice) -> str:
    """One of the lines that says something, in quotes."""
    telling = [line for line in lines if sum(map(str.isalpha, line)) > 1 and "`" not in line]
    return code(" ".join(voice.rng.choice(telling).split()), _LINE) if telling else ""


def _names(lines: tuple[str, ...]) -> list[str]:
    """File names, where the lines hold nothing else."""
    words = [word for line in lines for word in line.split()]
    plain = all(len(word) > 2 and "." in word[1:-1] and set(word) <= _IN_NAMES for word in words)
    return sorted(set(words)) if plain and len(words) > 1 else []


_IN_NAMES = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/")


def _count(number: int) -> str:
    return f"{number} line{'s' * (number != 1)}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

"""Ways to tell of a mistake and of mending it. Braces hold what they speak of."""

from termgym.teaching.voice import ways

MISSPELT = ways("""
    The shell says that {wrong} is no command; I mistyped {right}.
    {wrong} was not found: a slip of mine, I meant {right}.
    "Command not found" for {wrong}. That should have been {right}.
    I typed {wrong} instead of {right}, and the shell does not know it.
    A typing error: {wrong} does not exist, {right} does.
    There is no {wrong}. I had {right} in mind.
    My {wrong} was a misspelling of {right}, so nothing ran.
    I got {right} wrong and wrote {wrong}; the shell refused it.
""")
WRONG_PATH = ways("""
    There is no {wrong}: I mistyped the path, it is {right}.
    No such file: {wrong}. I meant {right}.
    I got the name wrong, {wrong} should be {right}.
    {wrong} does not exist; two letters are swapped, {right} is right.
    The path {wrong} was a slip of mine for {right}.
    That failed, as I wrote {wrong} for {right}.
    My mistake: not {wrong} but {right}.
    I swapped letters in {right}, so {wrong} was not found.
""")
OPEN_QUOTE = ways("""
    The shell shows "> ": my quote was not closed, so it waits for more.
    I forgot the closing quote; the "> " asks for the rest.
    This is the continuation prompt, since I left a quote open.
    The quote that I opened has no end, and the shell waits for it at "> ".
    An unclosed quote: the shell wants the rest of the line.
    I see only "> ", because I missed the second quote.
""")
NOT_RUN = ways("""
    Nothing of {} has run.
    So {} did nothing yet.
    It still collects the line that began with {}.
    What I typed, {}, is not a command yet.
    {} is only half of a command.
    The line {} is still open.
    That comes from {}.
    It was {} that I typed.
""")
OPEN_QUOTE_PLANS = ways("""
    Interrupt it with Ctrl-C and type the command anew.
    Press Ctrl-C to drop the unfinished line.
    Abandon this line by Ctrl-C; then do it right.
    Cancel with Ctrl-C, then start over.
    Get back to the prompt with Ctrl-C first.
""")
INTERRUPTED = ways("""
    Ctrl-C dropped the unfinished line and the prompt is back in {}.
    The half-typed line is gone; the shell is at its prompt in {}.
    The interrupt worked: a clean prompt in {}.
    I am at the prompt in {} again, and the open quote is gone.
    That cleared the line, the shell waits in {}.
""")
UNUSABLE = ways("""
    My last reply could not be read ({error}), so nothing was typed.
    Nothing was typed: my reply was not usable, {error}.
    The reply was refused: {error}. The terminal is as it was.
    I made a mistake in the form of my reply: {error}.
    The protocol complains about my reply: {error}.
    That was no valid reply ({error}); it has to be one JSON object.
""")
UNUSABLE_PLANS = ways("""
    Send it again as proper JSON: {}.
    Say it again, in the right form: {}.
    Reply anew with one JSON object, to {}.
    Repeat it with correct JSON, so as to {}.
    This time as valid JSON: {}.
""")
AGAIN = ways("""
    Type it right this time: {}.
    Correct it: {}.
    The same again without the mistake: {}.
    Now properly: {}.
    Do it as I meant to: {}.
    With the slip mended, {}.
    Once more, correctly: {}.
    Put it right and {}.
""")
RAMBLES = ways("""
    I will {} next and then look at the screen.
    Let me {}. After that I can decide how to go on.
    The next thing is to {}, so here we go.
    Sure: first I {}, then I see.
""")

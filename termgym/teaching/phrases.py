"""Ways to tell of a screen, and to say what comes next. Braces hold what they speak of."""

from termgym.teaching.voice import ways

PLAN_OPENINGS = ways("""
    Next, {}
    Now {}
    I will {}
    I'll {}
    Let me {}
    The next step is to {}
    My next move: {}
    What follows is to {}
    Time to {}
    I am going to {}
    So I {}
    I want to {}
    Here I {}
    I choose to {}
    The thing to do now is to {}
    To get further, {}
""")
LOOKING = ways("""
    to see what is there
    before I change anything
    and read the result
    so that I know what I am dealing with
    and take it from there
    to have the facts on the screen
    as I have to know this first
    and judge by what it shows
    to be sure
    and compare it with the task
    to learn more
    which changes nothing
""")
CHANGING = ways("""
    as the task asks
    and look at what comes of it
    which brings the task forward
    and see whether it complains
    then check the result
    as this is needed for the rest
    and watch for errors
    in one go
    which is part of the work
    as planned
    before I check the outcome
    and go on from there
""")
IN_PROGRAM = ways("""
    and see what the program does with it
    and look at the screen again
    then read how it reacts
    as this is what it takes input by
    and watch what changes
    one key at a time
    in the program that is open
    and go on from what it shows
""")
FIRST_OPENINGS = ways("""
    The task: {}
    What is asked for: {}
    I am asked this: {}
    Reading the task first: {}
    The job begins with this: {}
    In the words of the task: {}
    This is what I have to do: {}
    It starts like this: {}
    The request reads: {}
    First of all the task: {}
""")
FIRST_CLOSINGS = ways("""
    A shell is ready in {}.
    The shell waits at its prompt in {}, and nothing was typed yet.
    The terminal shows an empty prompt in {}.
    I have a root shell in {}.
    The prompt is there, in {}; nothing has happened so far.
    I begin at a shell prompt in {}.
    The screen has only the prompt, in {}.
    A fresh shell stands in {}.
""")
STEP_OPENINGS = ways("""
    The next part of the task: {}
    A new step has begun: {}
    The instruction now reads: {}
    There is a further step: {}
""")
PRINTED = ways("""
    {cmd} printed {n}
    {cmd} came back with {n}
    The output of {cmd} is {n}
    {cmd} gave {n}
    There are {n} of output from {cmd}
    I see {n} from {cmd}
    {cmd} answered with {n}
    {cmd} has run, with {n} of output
    {n} came from {cmd}
    {cmd} left {n} on the screen
    After {cmd} there are {n} to read
    The terminal shows {n} for {cmd}
""")
CUT = ways("""
    {cmd} printed a lot, and not all of it is shown
    The output of {cmd} is longer than what I am shown
    There is much output from {cmd}, with a part left out
    {cmd} filled more than the screen shows
""")
MIXED = ways("""
    {cmd} and what came of it are on the screen
    The lines from {cmd} on were typed, and the answers stand between them
    I see {cmd} and the lines after it
    The screen has {cmd} and what followed
""")
SILENT = ways("""
    {cmd} printed nothing
    {cmd} ran without any output
    No output from {cmd}
    {cmd} was silent
    Nothing was printed by {cmd}
    {cmd} came back without a word
    {cmd} has nothing to say
    The shell took {cmd} without comment
    There is no message after {cmd}
    {cmd} returned quietly
""")
FAILED = ways("""
    {cmd} shows what reads like an error: {error}
    There is an error message: {error}
    Something is wrong with {cmd}, it says {error}
    Among the output of {cmd} is the message {error}
    {cmd} complains: {error}
    One line is a complaint: {error}
""")
RUNNING = ways("""
    {cmd} is still running
    {cmd} has not come back yet
    No prompt so far, {cmd} is at work
    {cmd} is not done
""")
TYPED = ways("""
    {cmd} is typed
    I typed {cmd}
    {cmd} was taken
    After {cmd} there is only a prompt
    {cmd} went in
    The program took {cmd}
""")
WAITS = ways("""
    The program waits at {last}
    It now stands at {last}
    The last line is {last}, so input is expected
    {last} is where it waits for me
    The cursor is behind {last}
    It shows {last} and waits
    I am at {last}
""")
FULL = ways("""
    A full-screen program is open
    The program has the whole screen
    This is no shell but a full-screen program
    The screen belongs to the program now
    I am inside a full-screen program
    There is no prompt, as a program fills the screen
""")
BOTTOM = ways("""
    its last line reads {last}
    at the bottom it says {last}
    {last} stands at the bottom
    the line at the bottom is {last}
""")
LEFT = ways("""
    After {cmd} the shell's screen is back
    {cmd} closed the program, and the shell's screen is back
    The program is gone after {cmd}, and the terminal shows the shell
    {cmd} has ended the full-screen program
    I typed {cmd}, and the shell's screen has returned
""")
ABOVE = ways("""
    above it I can read {line}
    one of the lines is {line}
    further up stands {line}
    I see {line} among its lines
    it shows {line} as well
    {line} is on the screen
    a line above reads {line}
""")
EXCERPTS = ways("""
    one line is {line}
    it has the line {line}
    among them {line}
    for example {line}
    I can read {line}
    such as {line}
    with {line} in it
    there I see {line}
    {line} is one of them
""")
NAMES = ways("""
    with names such as {names}
    I see {names}
    among them {names}
    there are {names}
    {names} are there
    it names {names}
""")
ONLY = ways("""
    it is {line}
    it reads {line}
    namely {line}
    it says {line}
    I read {line}
    {line}
""")
READY = ways("""
    The prompt is back, in {}.
    The shell is ready again in {}.
    I am back at the prompt in {}.
    The shell waits in {}.
    The prompt of {} is there again.
    It has ended; the shell is in {}.
    Back at the shell, in {}.
    It is done and the prompt shows {}.
    The prompt stands in {}.
    The shell takes commands again, in {}.
""")
DONE_OPENINGS = ways("""
    What was to be typed is typed: {}.
    The work is through: {}.
    That was the last step: {}.
    Everything I set out to do has run: {}.
    I have gone through all steps: {}.
    To sum up: {}.
    Looking back: {}.
    The steps are complete: {}.
""")
DONE_CHECKED = ways("""
    I looked at the outcome with {cmd}: {saw}.
    The last look, {cmd}, is on the screen: {saw}.
    As a check {cmd} was run: {saw}.
    {cmd} was the check: {saw}.
    By {cmd} I have seen the result: {saw}.
""")
DONE_UNCHECKED = ways("""
    The last command was {cmd}: {saw}.
    At the end came {cmd}: {saw}.
    {cmd} closed it: {saw}.
    Last I typed {cmd}: {saw}.
""")
DONE_PLANS = ways("""
    Nothing is left to type, so I say that the task is done.
    I mark the task as complete.
    Report completion.
    There is no further step; I declare the task done.
    I leave it at that and mark it complete.
    Claim completion, as all steps have been taken.
    No more commands: the task is complete.
    Finish here and have it graded.
""")
CONFIRM_OPENINGS = ways("""
    I am asked to confirm that the task is complete.
    The question is whether I am done.
    I have to confirm once more.
    Completion needs a second word from me.
    It asks me to confirm before grading.
    The task is marked complete and waits for my confirmation.
""")
CONFIRM_PLANS = ways("""
    Confirm it.
    I confirm that the task is complete.
    Say so again: it is done.
    I stand by it and confirm.
    Confirm, as nothing is left to do.
    Yes, complete it.
    I answer with a second confirmation.
    Confirm the completion.
""")
WAIT_PLANS = ways("""
    Wait for it to end.
    Give it more time and look again.
    I type nothing and wait.
    Let it finish first.
""")

"""What programs, shell words and keys are for. Alternatives are parted by "|"; braces hold what they speak of."""

from termgym.teaching.voice import table, ways

PROGRAMS = table("""
    cat: print {} | read {} | show what {} holds | look into {}
    ls: list {} | see what is in {} | look at the names in {}
    cd: go to {} | change into {} | make {} the current folder
    pwd: see which folder this is | ask for the current folder
    sed: edit {} with sed | apply a sed expression to {} | let sed work on {}
    awk: process {} with awk | run an awk program over {} | let awk go through {}
    grep: search {} with grep | look for matching lines in {} | grep through {}
    egrep: search {} with egrep | look for matching lines in {}
    find: search below {} with find | walk the tree of {} | let find list what is below {}
    sort: sort {} | put the lines of {} in order
    uniq: merge equal neighbouring lines of {} | fold repeated lines of {}
    wc: count what is in {} | get the size of {} with wc | count lines of {}
    head: show the beginning of {} | read the first lines of {} | look at the top of {}
    tail: show the end of {} | read the last lines of {} | look at the bottom of {}
    cut: cut columns out of {} | keep only some fields of {}
    tr: translate characters | replace characters with tr
    paste: join the lines of {} side by side | paste {} together
    join: join {} on a common field | merge {} by their keys
    comm: compare {} line by line | find out which lines {} share
    diff: compare {} | see how {} differ | look for differences in {}
    cmp: compare {} byte by byte | check that {} are the same
    patch: apply a patch to {} | patch {}
    python3: run {} with Python | let Python run {} | start {} in Python
    python: run {} with Python | let Python run {}
    perl: run {} with Perl | let Perl do {}
    bash: run {} with bash | execute {} in a shell of its own
    sh: run {} with sh | execute {} in a plain shell
    git: use git for {} | ask git for {} | run git {}
    tar: work on the archive {} with tar | use tar on {}
    gzip: compress {} | squeeze {} with gzip
    gunzip: decompress {} | unpack {}
    zcat: read the compressed {} | print {} without unpacking it on disk
    unzip: unpack {} | take {} apart with unzip
    zip: pack {} | make a zip archive of {}
    chmod: change the mode of {} | set the permissions of {}
    chown: change the owner of {} | give {} to another owner
    chgrp: change the group of {} | give {} to another group
    mkdir: make the folder {} | create {} | make sure that {} exists
    rmdir: remove the empty folder {} | drop {}
    mv: move {} | rename {} | put {} in its new place
    cp: copy {} | make a copy of {} | duplicate {}
    rm: remove {} | delete {} | clear {} away
    ln: link {} | make a link for {}
    touch: touch {} | make sure that {} is there
    stat: look at the metadata of {} | ask for size, owner and times of {}
    file: find out what kind of file {} is | ask for the type of {}
    du: see how much space {} takes | measure {}
    df: see how full the disks are | check free space
    od: dump {} byte by byte | look at the raw bytes of {}
    xxd: dump {} in hex | look at the raw bytes of {}
    hexdump: dump {} in hex | look at the raw bytes of {}
    strings: look for readable text in {} | pull the text out of {}
    iconv: convert the encoding of {} | re-encode {}
    base64: encode or decode {} in base64 | run {} through base64
    sha256sum: hash {} | take the SHA-256 of {}
    md5sum: hash {} | take the MD5 of {}
    echo: print a line | have the shell print some words | echo a value
    printf: print formatted text | let printf write the lines
    tee: keep a copy of the output in {} | write the output to {} and show it
    sqlite3: open {} in sqlite3 | query {} with sqlite3 | ask the database {}
    jq: query {} with jq | let jq pick from {}
    make: run make | let make build what is missing | start the build
    gcc: compile {} | build {} with gcc
    ps: list the processes | see what is running
    kill: end a process | send a signal to {}
    sleep: wait a moment | pause
    less: open {} in the pager | page through {} | view {} in less
    more: page through {} | view {} page by page
    vi: open {} in the editor | edit {} in vi | start vi on {}
    vim: open {} in the editor | edit {} in vim
    nano: open {} in nano | edit {} in nano
    xargs: run a command on each name | hand the names on as arguments
    seq: count up | print a row of numbers
    date: print a date | let date work out the time
    export: set a variable for the programs to come | export a variable
    test: test a condition | check a condition
    env: set the environment for a command | run with another environment
    history: look at the shell's history | list what was typed
    tac: print {} backwards | read {} from its end
    nl: number the lines of {} | print {} with line numbers
    rev: turn the lines of {} around | reverse each line of {}
    column: lay {} out in columns | make a table of {}
    id: see who I am | ask for user and groups
    which: find out where {} is | look for the program {}
    ./configure: configure the build | run the configure script
""")
GIT = table("""
    status: see the state of the work tree | ask git what has changed
    log: read the history | look at the last commits
    show: look at a commit | have git show a commit
    diff: see what differs | compare versions
    add: stage the changes | put the changes into the index
    commit: record the changes | commit what is staged
    checkout: check out another version | switch to another state
    switch: switch branches | go to another branch
    branch: look at the branches | work on the branches
    merge: merge another branch | bring branches together
    rebase: rewrite the branch with a rebase | rebase the commits
    bisect: narrow the bad commit down by bisection | let git bisect halve the range
    reset: reset the branch | take the branch to another commit
    stash: put changes aside | use the stash
    tag: work on the tags | set a tag
    cherry-pick: copy a commit over | pick a commit
    config: set an option of git | configure git
    reflog: read the reflog | look where the branches were before
    fsck: look for lost objects | check the object store
    rev-parse: resolve a name to a commit | ask for a commit's hash
    rev-list: list commits | walk the commits
    remote: look at the remotes | work on the remotes
    clone: clone the repository | make a clone
    init: start a repository | make a new repository
    filter-branch: rewrite the history | filter the commits
""")
COMPOUND = table("""
    for: loop over them in the shell | run a loop over the items | go through them one by one with a for loop
    while: loop over the lines in the shell | read line by line in a loop | run a while loop
    if: decide by a condition | branch on a condition
    function: define the shell function {} | set up a function {} for later | write a little function, {}
    assign: keep a value in the variable {} | set {} | store the result in {}
    write: write {} | put the text into {} | create {} by a here-document | lay out {}
""")
STATUS = ways("""
    print the exit status
    see how it ended
    ask for the exit status
    check the exit status
""")
PIPED = ways("""
    {}, with {} at the end of the pipe
    {} and pipe what it prints into {}
    {} and hand the result on to {}
    {}, filtered down to what {} leaves
    {}, passed on to {}
""")
INTO = ways("""
    {}, with the output going into {}
    {} and keep the output in {}
    {}, redirected to {}
    {} and write what comes out to {}
""")
KEYS = table("""
    C-c: interrupt what is running | press Ctrl-C
    C-d: end the input with Ctrl-D | press Ctrl-D
    C-u: empty the input with Ctrl-U | press Ctrl-U
    Escape: press Escape | go back to command mode with Escape
    Enter: press Enter | confirm with Enter
    Tab: press Tab
    Up: move up with the arrow key | press the arrow up
    Down: move down with the arrow key | press the arrow down
    Left: move left with the arrow key | press the arrow left
    Right: move right with the arrow key | press the arrow right
    PPage: go up a page | press Page Up
    NPage: go down a page | press Page Down
    F1: press F1 | use the key F1
""")
VI = table("""
    :wq: save the file and leave the editor | write and quit
    :x: save the file and leave the editor | write and quit
    :w: save the file | write what is in the buffer
    :q: leave the editor | quit vi
    :q!: leave without saving | quit and drop the changes
    dd: delete the line under the cursor | take this line out
    n: go to the next match | repeat the search
    u: take the last change back | undo
    //: repeat the search | look for the same again
""")
LESS = table("""
    n: go to the next match | repeat the search
    N: go to the match before | repeat the search upwards
    q: leave the pager | quit less
    G: go to the end | jump to the last line
    g: go to the beginning | jump to the first line
    //: repeat the search | look for the same again
""")
SEARCH = ways("""
    search for {}
    jump to the next {}
    look for {} in the text
""")
TOP_SEARCH = ways("""
    go to the top and search for {} from there
    start at line 1 and look for {}
    jump to the first {} of the file
    search the file from its top for {}
""")
TYPE_LINE = ways("""
    answer with {}
    type {} and press Enter
    enter {}
    give it {}
""")
TYPE_KEYS = ways("""
    press {}
    type {}
    send {}
    use {}
""")

"""The launcher: a lean, separate process that makes sandboxes out of Linux namespaces.

It runs as `python -I -S` with this package alone on its path, so that its modules import each other relatively and
nothing of termgym (gymnasium, numpy, a model) is ever in the process that forks: a fork of a 500 MB trainer takes
25 ms, a fork of this process about 1 ms.

    linux    the system calls that Python's os module lacks
    seccomp  what no process inside may ask of the kernel
    cgroup   limits on processes, memory and CPU, where the host lets us set them
    rootfs   what shows inside: the userland of the host and nothing else of it, or an image
    layers   what folders show that lie on each other
    program  a program inside, started as root or as another account
    init     what a box's PID 1 becomes when it rests
    box      one sandbox: from clone to PID 1 serving its first process
    serve    the loop: one socket to termgym, one box per request
"""

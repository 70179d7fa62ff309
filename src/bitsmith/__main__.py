"""python -m bitsmith"""

from bitsmith.cli import main

main()

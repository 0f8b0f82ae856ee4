"""What a dump would cost now, what pre-dumps would change, and when a quiet moment comes.

Pure functions of samples and of what links cost; nothing here touches a target. Only `calibrate` measures.
"""

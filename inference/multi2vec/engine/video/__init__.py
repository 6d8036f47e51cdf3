"""Video files: from a file's bytes to a few frames. A child process reads the file, so that nothing in it can harm the
one that asks.

    data, Sampling, VideoLimits → decoder ─ Job ─→ child: demux → choose → decode ─ frames ─→ decoder → Frame, Frame, …
"""

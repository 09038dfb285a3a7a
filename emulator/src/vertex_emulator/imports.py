"""Imports of large libraries inside functions, one at a time.

scikit-learn's modules import each other in circles, which fails when two threads begin at once.
"""

from __future__ import annotations

import threading

one_import_at_a_time = threading.RLock()
"""Hold this while importing scikit-learn, or a library that imports it (such as rouge-score)."""

# Read by make before the makefiles of zdtm: its programs then keep the user they are started by.
# Where root lacks CAP_SYS_RESOURCE, no CRIU can dump another user's process.
unexport ZDTM_UID ZDTM_GID ZDTM_GROUPS

-- hpcwatch for Lmod. Copy it to MODULEPATH/hpcwatch/0.2.0.lua and set the folder in the next line.
local root = "/opt/hpcwatch/0.2.0"

help([[
hpcwatch tells what a job really uses, while it runs and afterwards, and what to change.

    hpcwatch run -- ./program      run a program under the monitor
    hpcwatch job JOBID             watch every node of a job
    man hpcwatch                   all commands and options
]])
whatis("Name: hpcwatch")
whatis("Version: 0.2.0")
whatis("Description: What your HPC job really uses, and what to change.")
whatis("URL: https://pypi.org/project/hpcwatch/")

prepend_path("PATH", pathJoin(root, "bin"))
prepend_path("MANPATH", pathJoin(root, "share/man"))
append_path("MANPATH", "")  -- the empty entry keeps the system's own pages
prepend_path("XDG_DATA_DIRS", pathJoin(root, "share"))  -- completions of bash and fish
prepend_path("FPATH", pathJoin(root, "share/zsh/site-functions"))  -- completions of zsh

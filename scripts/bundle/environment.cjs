'use strict';
// The launcher has set LD_LIBRARY_PATH for this process, which has read the variable already. Programs that this
// process starts get the value that the variable had before the launcher. If this file runs again (in a worker thread),
// it does nothing.
if (process.env.LXMERT_BUNDLE_STARTED !== undefined) {
  const before = process.env.LXMERT_OUTER_LD_LIBRARY_PATH;
  if (before === undefined) delete process.env.LD_LIBRARY_PATH;
  else process.env.LD_LIBRARY_PATH = before;
  for (const name of ['LXMERT_OUTER_LD_LIBRARY_PATH', 'LXMERT_BUNDLE_STARTED', 'LXMERT_ENTRY'])
    delete process.env[name];
}

'use strict';
// The launcher set LD_LIBRARY_PATH for this process, which has read it by now; programs that it starts get what was set before.
// Started twice (in a worker thread), this must do nothing more.
if (process.env.LXMERT_BUNDLE_STARTED !== undefined) {
  const before = process.env.LXMERT_OUTER_LD_LIBRARY_PATH;
  if (before === undefined) delete process.env.LD_LIBRARY_PATH;
  else process.env.LD_LIBRARY_PATH = before;
  for (const name of ['LXMERT_OUTER_LD_LIBRARY_PATH', 'LXMERT_BUNDLE_STARTED', 'LXMERT_ENTRY'])
    delete process.env[name];
}

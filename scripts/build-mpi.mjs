// `npm run build:mpi` builds the library with which ranks use MPI, for the MPI of this machine.
import { alone } from './lib/lock.mjs';
import { ensureMpi } from './lib/mpi.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(ensureMpi));

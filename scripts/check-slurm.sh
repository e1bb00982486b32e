#!/usr/bin/env bash
# Runs ranks under Slurm: over PMIx and MPI on one node, and over sockets on two nodes. As root, the script starts Slurm on
# this machine and stops it at the end. Needs slurm-wlm, munge and openmpi-bin (Debian), `npm run setup`, and a machine on
# which no Slurm is running.
set -euo pipefail
cd "$(dirname "$0")/.."
lxmert=("$(command -v node)" "$PWD/dist/cli/main.js")
folder=$(mktemp -d)
mkdir -p /run/munge /run/lxmert-slurm /var/spool/slurmctld /var/spool/slurmd.n1 /var/spool/slurmd.n2 /etc/slurm

end() {
  for name in slurmctld slurmd.n1 slurmd.n2; do
    [[ ! -e /run/lxmert-slurm/$name.pid ]] || kill "$(cat "/run/lxmert-slurm/$name.pid")" || true
  done
  [[ ! -e /run/munge/munged.pid ]] || kill "$(cat /run/munge/munged.pid)" || true
  rm -rf "$folder"
}
trap end EXIT

if [[ ! -e /etc/munge/munge.key ]]; then
  dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
fi
chown munge /etc/munge/munge.key /run/munge
chmod 400 /etc/munge/munge.key
runuser -u munge -- munged --force
host=$(hostname -s)
cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd.%n
SlurmctldPidFile=/run/lxmert-slurm/slurmctld.pid
SlurmdPidFile=/run/lxmert-slurm/slurmd.%n.pid
ReturnToService=2
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=2 RealMemory=4000
PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
CONF
export SLURM_CONF=$folder/slurm.conf
slurmctld
slurmd -N n1
slurmd -N n2
until [[ $(sinfo -h -o %t -N | sort -u) == idle ]]; do sleep 1; done

"${lxmert[@]}" scenes --out "$folder/scenes" --images 12 --feature-dim 16 --pictures 0 >/dev/null 2>&1
run() {
  local out=$1
  shift
  "$@" "${lxmert[@]}" pretrain --data "$folder/scenes" --out "$folder/$out" --preset tiny --device cpu --batch-size 8 \
    --max-steps 5 --gradient-parts 4 --valid none >"$folder/$out.log" 2>&1 || {
    cat "$folder/$out.log"
    exit 1
  }
}
run alone env
run pmix srun --mpi=pmix -n 2 -N 1 -O
# Both nodes are this host, but with other names, so the address at which rank 0 waits for the other ranks is given.
MASTER_ADDR=127.0.0.1 MASTER_PORT=29517 run sockets srun -n 4 -N 2 -O
for out in pmix sockets; do
  cmp "$folder/alone/checkpoints/last/model.safetensors" "$folder/$out/checkpoints/last/model.safetensors"
  echo "srun, $out: the same bits as one process"
done

# A process of a batch script that srun did not start trains alone, although the allocation has four tasks.
cat >"$folder/job.sh" <<JOB
#!/bin/bash
${lxmert[*]} pretrain --data $folder/scenes --out $folder/batch --preset tiny --device cpu --batch-size 8 \
  --max-steps 5 --gradient-parts 4 --valid none
JOB
sbatch --wait -n 4 -N 2 -O -o "$folder/batch.log" "$folder/job.sh"
cmp "$folder/alone/checkpoints/last/model.safetensors" "$folder/batch/checkpoints/last/model.safetensors"
echo 'sbatch without srun: one process'

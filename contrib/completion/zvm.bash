# bash completion for zvm(1)

# The names of the programs that a spec may begin with, in the directories given so far and on the machine.
_zvm_scripts() {
	local i directory
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == --scripts ]]; then
			directory=${COMP_WORDS[i + 1]/#\~/$HOME}
			[[ -d $directory ]] && (cd "$directory" && compgen -f)
		fi
	done
	compgen -c
}

_zvm() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W 'mount umount run warm explain verify fsck gc stats top vet doctor --help --version' -- "$current")
		return
	fi
	case $previous in
	--scripts | --inputs | --store | --out)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$current")
		return
		;;
	--trace)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	-o)
		compopt -o nospace
		options='follow stat=run exit=any max_jobs= user_jobs= timeout= memory= output= store_size= store_free= allow_other allow_root nonempty scripts= inputs= store='
		local before=
		[[ $current == *,* ]] && before=${current%,*},
		mapfile -t COMPREPLY < <(compgen -P "$before" -W "$options" -- "${current##*,}")
		return
		;;
	esac
	case $command in
	mount) options='-f -d -o --scripts --inputs --store --help' ;;
	run) options='--no-cache --store --scripts --stats --trace --pool --template --verify --help' ;;
	warm) options='-j --out --scripts --store --help' ;;
	explain) options='--json --store --help' ;;
	verify) options='--sample --rate -j --store --help' ;;
	fsck) options='--repair --store -q --help' ;;
	gc) options='--max-size --min-free --dry-run --store --help' ;;
	stats) options='--store --help' ;;
	top) options='--interval --once --json --help' ;;
	vet) options='--json --help' ;;
	*) options=--help ;;
	esac
	if [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
		return
	fi
	case $command in
	run) mapfile -t COMPREPLY < <(compgen -W "$(_zvm_scripts)" -- "$current") ;;
	umount | top) mapfile -t COMPREPLY < <(compgen -W "$(findmnt -nro TARGET -t fuse.zvm 2>/dev/null)" -- "$current") ;;
	mount | stats)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$current")
		;;
	explain | verify | vet | warm)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	esac
}

complete -F _zvm zvm

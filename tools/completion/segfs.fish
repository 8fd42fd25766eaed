# SPDX-License-Identifier: LGPL-2.1-or-later
# fish's completion for segfs, segls and segtop; what they take is what their --help says.

function __segfs_words
    $argv[1] --help 2>/dev/null | string replace -rf $argv[2] $argv[3]
end

for program in segfs mount.segfs segls segtop
    type -q $program; or continue
    $program --help 2>/dev/null | sed -nE 's/^ +(-(.), )?--([a-z-]+)(=[^ ]+)? +(.*)$/\2\t\3\t\4\t\5/p' | while read -d \t -l short long value what
        set -l options -c $program -l $long -d $what
        test -n "$short"; and set -a options -s $short
        test -n "$value"; and set -a options -r
        complete $options
    end
end
for program in segfs mount.segfs
    complete -c $program -f -a '(__fish_complete_directories)'
    complete -c $program -s o -l options -x -a "(__fish_complete_list , \"__segfs_words segfs '^  ([a-z_]+=?)[^ ]*  +([a-zA-Z].*)' '\\\$1\\t\\\$2'\")"
end
complete -c segtop -f -a '(__fish_complete_directories)'
complete -c segls -f
complete -c segls -s o -l output -x -a "(__fish_complete_list , \"__segfs_words segls '^  ([A-Z]+)  +(.*)' '\\\$1\\t\\\$2'\")"
complete -c segls -l sort -x -a "(__segfs_words segls '^  ([A-Z]+)  +(.*)' '\$1\t\$2')"
complete -c segls -l by -x -a 'program process user container name'

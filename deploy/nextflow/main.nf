// Stream regions of an object into a workflow, and add what comes out to the object, with what it was made of.
//
//     nextflow run deploy/nextflow/main.nf --object s3://bucket/ex --element data/demo1 --regions regions.txt
//
// The addresses of services and the keys of S3 are those of the environment (MODOS_ENDPOINT, AWS_...); a secret key
// is named by its file, and its passphrase is the secret C4GH_PASSPHRASE of Nextflow or of the environment.

nextflow.enable.dsl = 2

params.object = null      // s3://bucket/ex, or an absolute path
params.element = null     // the element of it whose reads are wanted: data/demo1
params.regions = null     // a file with a region in each line: chr1:1-1000
params.secret_key = null  // a file on every machine that runs a task, for encrypted objects
params.id = 'counts'      // id of the element that is added

process STREAM {
    tag "${region}"

    input:
    tuple val(number), val(region)

    output:
    tuple val(number), val(region), path('region.bam')

    script:
    def key = params.secret_key ? "--secret-key '${params.secret_key}'" : ''
    """
    modos stream -r '${region}' ${key} -O bam -o region.bam '${params.object}/${params.element}'
    """
}

process COUNT {
    tag "${region}"

    input:
    tuple val(number), val(region), path(bam)

    output:
    path("${number}.tsv")

    script:
    """
    printf '%s\\t%s\\n' '${region}' "\$(samtools view -c ${bam})" > ${number}.tsv
    """
}

process PUBLISH {
    input:
    path(table)

    output:
    stdout

    script:
    """
    modos add '${params.object}' data -s ${table} \\
        -e '{"id": "${params.id}", "@type": "DataEntity", "derived_from": ["${params.element}"]}'
    """
}

// Regions are put into commands, and so are nothing else than regions.
def readRegions(path) {
    def lines = file(path).readLines().collect { it.trim() }.findAll { it }
    lines.each { if (!(it ==~ /[\w.:,*+|=-]+/)) error "not a region: ${it}" }
    lines.withIndex().collect { region, number -> [number, region] }
}

workflow {
    if (!params.object || !params.element || !params.regions) {
        error 'give --object, --element and --regions'
    }
    parts = COUNT(STREAM(Channel.fromList(readRegions(params.regions))))
    table = parts.collectFile(name: "${params.id}.tsv", sort: { it.baseName as Integer })
    PUBLISH(table).view { it.trim() }
}

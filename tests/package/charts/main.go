// SPDX-License-Identifier: Apache-2.0

// Renders what ships for Kubernetes with the code of Helm and kustomize, and holds pods to a pod security standard with the code of
// Kubernetes' admission. For tests/package/test_kubernetes.py: less to build than the programs.
//
//	charts helm CHART [VALUES.yaml]    the manifests, as `helm template` prints them
//	charts kustomize FOLDER            as `kustomize build` does
//	charts restricted < MANIFESTS      a line for each pod that the standard "restricted" refuses
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func helm(words []string) error {
	chart, err := loader.Load(words[0])
	if err != nil {
		return err
	}
	values := chartutil.Values{}
	if len(words) > 1 {
		if values, err = chartutil.ReadValuesFile(words[1]); err != nil {
			return err
		}
	}
	if err = chart.Validate(); err != nil {
		return err
	}
	if err = chartutil.ProcessDependenciesWithMerge(chart, values); err != nil {
		return err
	}
	release := chartutil.ReleaseOptions{Name: "shop", Namespace: "prod", Revision: 1, IsInstall: true}
	render, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, render)
	if err != nil {
		return err
	}
	names := []string{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("---\n# Source: %s\n%s\n", name, strings.TrimSpace(files[name]))
	}
	return nil
}

func kustomize(words []string) error {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), words[0])
	if err != nil {
		return err
	}
	text, err := resources.AsYaml()
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	return err
}

func restricted(in io.Reader) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return err
	}
	all, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(all), 4096)
	for {
		deployment := appsv1.Deployment{}
		if err := documents.Decode(&deployment); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if deployment.Kind != "Deployment" {
			continue
		}
		pod := deployment.Spec.Template
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
		if !result.Allowed {
			fmt.Printf("%s: %s\n", deployment.Name, result.ForbiddenDetail())
		}
	}
}

func main() {
	err := errors.New("write charts helm CHART [VALUES.yaml], charts kustomize FOLDER or charts restricted")
	switch words := os.Args[1:]; {
	case len(words) >= 2 && words[0] == "helm":
		err = helm(words[1:])
	case len(words) == 2 && words[0] == "kustomize":
		err = kustomize(words[1:])
	case len(words) == 1 && words[0] == "restricted":
		err = restricted(os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "charts:", err)
		os.Exit(1)
	}
}

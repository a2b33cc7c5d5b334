// Command validate says what an API server would not take: it reads objects of Kubernetes from stdin, as a list in JSON,
// and writes a line for each complaint. It is the code of the API server: decoding without unknown or double fields,
// defaults, validation, and the Pod Security Standard "restricted".
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	v1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/pod-security-admission/api"
	security "k8s.io/pod-security-admission/policy"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	var objects []json.RawMessage
	if err := json.Unmarshal(text, &objects); err != nil {
		panic(err)
	}
	evaluator, err := security.NewEvaluator(security.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	for _, object := range objects {
		for _, complaint := range complaints(object, evaluator) {
			fmt.Println(complaint)
		}
	}
	fmt.Printf("%d objects\n", len(objects))
}

func complaints(text []byte, evaluator security.Evaluator) (found []string) {
	strict := serializer.NewSerializerWithOptions(
		serializer.DefaultMetaFactory, legacyscheme.Scheme, legacyscheme.Scheme, serializer.SerializerOptions{Strict: true})
	named, kind, err := strict.Decode(text, nil, nil)
	if err != nil {
		return []string{err.Error()}
	}
	legacyscheme.Scheme.Default(named)
	inner, err := legacyscheme.Scheme.ConvertToVersion(named, runtime.InternalGroupVersioner)
	if err != nil {
		return []string{err.Error()}
	}
	name := kind.Kind + " " + named.(metav1.Object).GetName()
	for _, one := range validate(inner) {
		found = append(found, name+": "+one.Error())
	}
	if template := templateOf(inner); template != nil {
		var pod corev1.PodTemplateSpec
		if err := v1.Convert_core_PodTemplateSpec_To_v1_PodTemplateSpec(template, &pod, nil); err != nil {
			return append(found, err.Error())
		}
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				found = append(found, fmt.Sprintf("%s: not restricted: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail))
			}
		}
	}
	return found
}

func templateOf(object runtime.Object) *core.PodTemplateSpec {
	switch one := object.(type) {
	case *core.Pod:
		return &core.PodTemplateSpec{ObjectMeta: one.ObjectMeta, Spec: one.Spec}
	case *apps.Deployment:
		return &one.Spec.Template
	case *batch.Job:
		return &one.Spec.Template
	}
	return nil
}

func validate(object runtime.Object) field.ErrorList {
	var pods validation.PodValidationOptions
	if template := templateOf(object); template != nil {
		pods = podutil.GetValidationOptionsFromPodTemplate(template, nil)
	}
	switch one := object.(type) {
	case *core.Pod:
		pods.ResourceIsPod = true
		return validation.ValidatePodCreate(one, pods)
	case *core.Service:
		one.Spec.ClusterIPs = nil
		if one.Spec.ClusterIP != "" { // as the API server has it before it looks
			one.Spec.ClusterIPs = []string{one.Spec.ClusterIP}
		}
		return validation.ValidateServiceCreate(one)
	case *core.ConfigMap:
		return validation.ValidateConfigMap(one)
	case *core.Secret:
		return validation.ValidateSecret(one)
	case *core.ServiceAccount:
		return validation.ValidateServiceAccount(one)
	case *core.PersistentVolumeClaim:
		return validation.ValidatePersistentVolumeClaim(one, validation.ValidationOptionsForPersistentVolumeClaim(one, nil))
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(one, pods)
	case *batch.Job:
		manual := true // else the API server gives the selector, with a label that it draws
		one.Spec.ManualSelector, one.Spec.Selector = &manual, &metav1.LabelSelector{MatchLabels: one.Spec.Template.Labels}
		return batchvalidation.ValidateJobCreate(one, batchvalidation.JobValidationOptions{PodValidationOptions: pods})
	case *networking.Ingress:
		return networkingvalidation.ValidateIngressCreate(one)
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(one, networkingvalidation.NetworkPolicyValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(one, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *autoscaling.HorizontalPodAutoscaler:
		options := autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1}
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(one, options)
	}
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("nothing validates %T", object))}
}

"""Examples of each command, as its ``--help`` shows them: what is typed after "minicnn", and what it does."""

from __future__ import annotations

__all__ = ["EXAMPLES"]

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("predict photo.jpg", "what is in a photograph"),
        ("saliency photo.jpg", "and which pixels say so"),
        ("saliency --help", "all about one command"),
    ),
    "demo": (("demo", "see what minicnn does, on photographs that come with it"),),
    "predict": (
        ("predict photo.jpg", "the five most probable classes"),
        ("predict photos --crops ten --json", "of every picture in a folder, by ten views, for a program"),
        ("predict photo.jpg --net net.onnx --labels names.txt", "by a network of your own"),
    ),
    "saliency": (
        ("saliency photo.jpg", "the map of the most probable class, in a figure beside the photograph"),
        ("saliency photo.jpg --target tabby -o maps", "of a class by its name, into a folder"),
        ("saliency photo.jpg --method grad-cam", "the map of a later method"),
    ),
    "localise": (
        ("localise photo.jpg", "box and mask of the most probable class"),
        ("localise photo.jpg --method paper --top 3", "by the paper's own method, of three classes"),
    ),
    "explore": (
        ("explore", "click through a small network that reads digits; draw one"),
        ("explore efficientnet-lite0 photo.jpg", "every number on the way from a photograph to its classes"),
        ("explore digits seven.png --export page.html", "one page of it that needs no program and no network"),
    ),
    "batch": (
        ("batch photos --out answers", "the classes of all images below a folder, and again to go on"),
        ("batch photos --do saliency --maps png --out maps", "a map of each"),
        ("batch shards/*.tar --do features --answers parquet --fail-rate 0.01", "of tar files, for a data frame"),
    ),
    "deconvnet": (
        (
            "deconvnet photos --layer features.8.expand3x3",
            "which patches of a folder's pictures excite a feature map",
        ),
        ("deconvnet photo.jpg --table", "what the three backward rules do at each kind of layer"),
    ),
    "filters": (
        ("filters squeezenet1_1", "the filters of the first layer, in colour"),
        (
            "filters squeezenet1_1 photo.jpg --layer features.1",
            "the maps that a later layer gives of a photograph",
        ),
    ),
    "class-model": (
        ("class-model goose", "the image that the class score likes most, as in the paper"),
        ("class-model goose --style natural", "closer to a photograph"),
        ("class-model 5 --layer features.8.expand3x3 --net squeezenet1_1", "of a feature map"),
    ),
    "reproduce": (("reproduce photos --images 4", "every experiment of the paper on four pictures, quickly"),),
    "evaluate": (("evaluate localisation photos", "how well objects are found in pictures with boxes"),),
    "evaluate classification": (
        ("evaluate classification fashion-mnist --net training/best.npz", "on the test images of a data set"),
        ("evaluate classification photos --crops ten", "one view and the paper's ten, on folders of classes"),
    ),
    "evaluate localisation": (("evaluate localisation photos --images 20", "on twenty pictures with boxes"),),
    "evaluate pointing": (("evaluate pointing photos --methods gradient,grad-cam", "two methods side by side"),),
    "evaluate curves": (("evaluate curves photos --images 20", "on twenty labelled pictures"),),
    "evaluate methods": (("evaluate methods photos --limit 4", "everything, on four pictures"),),
    "evaluate sanity": (
        ("evaluate sanity digits seven.png", "whether maps of a net depend on what it has learnt"),
    ),
    "classes": (
        ("classes cat", "the classes whose names contain a word, with their numbers"),
        ("classes --net net.onnx --labels names.txt", "all classes of a network of your own"),
    ),
    "train": (
        ("train fashion-mnist --net lenet5 -o lenet5-fashion", "LeNet-5 on a folder of idx files, 20 epochs"),
        ("train photos --net efficientnet-lite0 --recipe mine.toml", "as a recipe of your own says"),
        ("train digits.csv --net lenet5 --rate-range", "which learning rate fits? A figure of the loss over it"),
        ("train photos --net efficientnet-lite0 --freeze", "a new last layer alone, in little time"),
        ("train digits.csv --net lenet5 --overfit 64", "can it learn 64 images by heart? If not, it has a fault"),
    ),
    "inspect": (
        ("inspect net.onnx", "layers, sizes and preprocessing of a network"),
        ("inspect photo.saliency.png --verify", "where a figure comes from, and whether that is so"),
    ),
    "convert": (
        ("convert net.pth net.onnx --architecture resnet18 --check", "write a file and compare both"),
        (
            "convert a.npz b.npz c.npz committee.npz --committee",
            "three networks as one, the mean of their answers",
        ),
    ),
    "validity": (("validity photo.jpg", "how far the linear model of a class score holds"),),
    "check": (
        ("check digits", "every gradient of a shipped network"),
        ("check net.onnx photo.jpg --device cpu", "of your own, at a photograph, as the fast kernels compute it"),
    ),
    "compare": (
        ("compare net.npz photo.jpg --with net.onnx", "with a file that onnxruntime runs"),
        ("compare net.npz --with peer.py:scores", "with a function of your own program"),
    ),
    "diagnose": (
        ("diagnose net.onnx photo.jpg --label tabby", "why a class that is known does not come out"),
        ("diagnose net.npz photo.jpg --reference net.onnx", "where it leaves the reference"),
    ),
    "serve": (
        ("serve digits --port 8080", "then: curl --data-binary @seven.png http://127.0.0.1:8080/predict"),
        ("serve net.onnx --host 0.0.0.0 --token-file token.txt", "to other machines, who bear a token"),
    ),
    "warm-up": (("warm-up", "now, so that no later command waits for a compiler"),),
    "devices": (("devices", "processors and GPUs"),),
}

# The whole image as 224 x 224 px, and flips; the same without them for the test. Bilinear.
resize = dict(type='Resize', scale=(224, 224), backend='pillow', interpolation='bilinear')
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='SeededMultiView',
        transforms=[[resize, dict(type='SeededFlip', prob=0.5)]],
        num_views=[1],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadImage'), resize, dict(type='PackInputs')]
